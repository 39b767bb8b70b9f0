"""The page of measured error rates, docs/error-rates.md, from the rates that ``calibration.py`` measured."""

from collections.abc import Mapping

from hage_transfer.compare.error_rates import ErrorRates


def table_lines(rates: ErrorRates) -> list[str]:
    """The page of the documentation."""
    sd = 196 * (0.05 * 0.95 / rates.replicates) ** 0.5
    return [
        "# How often verdicts and intervals err",
        "",
        "Simulated sets of known truth, the program's own folds and tests, by `python benchmarks/calibration.py`:",
        f"{rates.replicates} sets a number (so 5% is known to about {sd:.0f} percentage points).",
        "",
        "## False verdicts between equal sources (wanted: at most 5%)",
        "",
        *_by_splits(rates.verdicts),
        "",
        "## How often the 95% interval of a difference holds the true one, of unequal sources (wanted: 95%)",
        "",
        *_by_splits(rates.coverage),
        "",
        "Where all folds tie, as they may near an AUC of 1, no interval is given.",
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
        "verdict from them.",
        "",
        "| set, 5 folds | a source's own 95% interval covers | DeLong's test errs | bootstrap of a difference errs |",
        "|---|---:|---:|---:|",
        *(
            f"| {kind} | {one['coverage']:.0%} | {one['delong']:.0%} | {one['bootstrap']:.0%} |"
            for kind, one in rates.own.items()
        ),
        "",
        "## The smallest difference that `--null` says",
        "",
        "Of 20 equal sources on each of many sets, against new sets of unequal sources (wanted: ratios of 0.8 to 1.2).",
        "",
        "| set | said, median | shown with power 0.8 | ratio | power at what is said |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {kind} | {one.said:.3f} | {one.true:.3f} | {one.said / one.true:.2f} | {one.power:.2f} |"
            for kind, one in rates.null.items()
        ),
    ]


def _by_splits(shares: Mapping[str, Mapping[str, float]]) -> list[str]:
    kinds = list(next(iter(shares.values())))
    rows = [f"| {name} | " + " | ".join(f"{of[kind]:.1%}" for kind in kinds) + " |" for name, of in shares.items()]
    return ["| splits | " + " | ".join(kinds) + " |", "|---|" + "---:|" * len(kinds), *rows]
