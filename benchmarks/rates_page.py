"""The page of the documentation on measured error rates."""

from hage_transfer.compare.error_rates import ErrorRates


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
