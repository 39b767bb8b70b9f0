"""How often the verdicts and intervals of a report err: measured by ``benchmarks/calibration.py``, kept beside this."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RATES_FILE = Path(__file__).with_name("error_rates.json")


@dataclass(frozen=True)
class ShownDifference:
    """The smallest difference that `--null` says, held against a simulation.

    Attributes:
        said: median over sets.
        true: the one that is called a gain with power 0.8.
        power: with which the one that was said is called a gain.
    """

    said: float
    true: float
    power: float


@dataclass(frozen=True)
class ErrorRates:
    """Measured on simulated sets whose truth is known.

    Attributes:
        replicates: sets of each number.
        verdicts: way of splitting, to kind of set, to share of false verdicts between equal sources.
        coverage: likewise, to the share of 95% intervals that hold the true difference of unequal sources.
        genes: standard deviation of the patients' effect, in sections', to share of false gene verdicts.
        own: kind of set, to ``coverage`` of a source's own interval for what a new training gives, and to the share of
            false alarms of ``delong`` and ``bootstrap``.
        null: kind of set, to the smallest difference that `--null` says and the true one.
    """

    replicates: int
    verdicts: Mapping[str, Mapping[str, float]]
    coverage: Mapping[str, Mapping[str, float]]
    genes: Mapping[str, float]
    own: Mapping[str, Mapping[str, float]]
    null: Mapping[str, ShownDifference]

    def tree(self) -> dict[str, Any]:
        """For a json file."""
        return asdict(self)

    @property
    def worst_verdict(self) -> float:
        """Highest share of false verdicts."""
        return max(rate for of_sets in self.verdicts.values() for rate in of_sets.values())

    def span(self, name: str) -> str:
        """Least to most over the kinds of sets of a number of ``own``, in words."""
        found = [one[name] for one in self.own.values()]
        return span_text(min(found), max(found))


def measured_rates() -> ErrorRates:
    """What was measured when this version was made."""
    tree = json.loads(RATES_FILE.read_text(encoding="utf-8"))
    return ErrorRates(**tree | {"null": {kind: ShownDifference(**one) for kind, one in tree["null"].items()}})


def span_text(low: float, high: float) -> str:
    """Of shares, as whole per cent.

    >>> span_text(0.09, 0.163)
    '9 to 16%'
    """
    return f"{high:.0%}" if round(low, 2) == round(high, 2) else f"{100 * low:.0f} to {high:.0%}"
