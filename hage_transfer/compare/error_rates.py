"""How often the verdicts and intervals of a report err: measured by ``benchmarks/calibration.py``, kept beside this."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RATES_FILE = Path(__file__).with_name("error_rates.json")


@dataclass(frozen=True)
class ErrorRates:
    """Measured on simulated sets whose truth is known.

    Attributes:
        replicates: sets of each number.
        verdicts: way of splitting, to kind of set, to share of false verdicts between equal sources.
        genes: standard deviation of the patients' effect, in sections', to share of false gene verdicts.
        own: kind of set, to ``coverage`` of a source's own interval for what a new training gives, and to the share of
            false alarms of ``delong`` and ``bootstrap``.
        own_replicates: sets of each number of ``own``, whose bootstrap takes long.
        detectable: smallest difference that `--null` says, over the true one; None where it was not measured.
    """

    replicates: int
    verdicts: Mapping[str, Mapping[str, float]]
    genes: Mapping[str, float]
    own: Mapping[str, Mapping[str, float]]
    own_replicates: int
    detectable: float | None

    def tree(self) -> dict[str, Any]:
        """For a json file."""
        return asdict(self)

    @property
    def worst_verdict(self) -> float:
        """Highest share of false verdicts."""
        return max(rate for of_sets in self.verdicts.values() for rate in of_sets.values())

    def span(self, name: str) -> str:
        """Least to most over the kinds of sets of a number of ``own``, in words; "not measured" where there is none."""
        found = [one[name] for one in self.own.values()]
        return span_text(min(found), max(found)) if found else "not measured"


def measured_rates() -> ErrorRates:
    """What was measured when this version was made."""
    return ErrorRates(**json.loads(RATES_FILE.read_text(encoding="utf-8")))


def span_text(low: float, high: float) -> str:
    """Of shares, as whole per cent.

    >>> span_text(0.09, 0.163)
    '9 to 16%'
    """
    return f"{high:.0%}" if round(low, 2) == round(high, 2) else f"{100 * low:.0f} to {high:.0%}"
