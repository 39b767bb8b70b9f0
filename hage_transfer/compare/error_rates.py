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


def table_lines(rates: ErrorRates) -> list[str]:
    """The page of the documentation."""
    kinds = list(next(iter(rates.verdicts.values())))
    lines = [
        "# How often verdicts and intervals err",
        "",
        "Two sources that are equal by construction, simulated sets of known truth, the program's own folds and tests.",
        f"Measured by `python benchmarks/calibration.py`, {rates.replicates} sets a number (so 5% is known to about "
        f"{196 * (0.05 * 0.95 / rates.replicates) ** 0.5:.0f} percentage points); wanted is at most 5%.",
        "",
        "## False verdicts between equal sources",
        "",
        "| splits | " + " | ".join(kinds) + " |",
        "|---|" + "---:|" * len(kinds),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{of_sets[kind]:.1%}" for kind in kinds) + " |"
        for name, of_sets in rates.verdicts.items()
    ]
    lines += [
        "",
        f"The 95% interval of a difference covers the truth in what is left: {1 - rates.worst_verdict:.1%} or more.",
        "",
        "## False gene verdicts, one section left out after another, 8 patients with 4 sections each",
        "",
        "| effect of the patient, in standard deviations of a section | false verdicts |",
        "|---|---:|",
        *(f"| {sd} | {rate:.1%} |" for sd, rate in rates.genes.items()),
        "",
        "## The other intervals of a report, for the question what a new training would give",
        "",
        "They take the trained models as they are and ask of other test rows, which is another question: do not read a",
        "verdict from them. " + (f"{rates.own_replicates} sets a number." if rates.own else "Not measured yet."),
        "",
        "| set | a source's own 95% interval covers | DeLong's test errs | bootstrap interval of a difference errs |",
        "|---|---:|---:|---:|",
        *(
            f"| {kind} | {one['coverage']:.0%} | {one['delong']:.0%} | {one['bootstrap']:.0%} |"
            for kind, one in rates.own.items()
        ),
        "",
        "## The smallest difference that `--null` says",
        "",
        "Over the one that a simulation finds to be shown with power 0.8 (1 is right): "
        + ("not measured." if rates.detectable is None else f"{rates.detectable:.2f}."),
    ]
    return lines
