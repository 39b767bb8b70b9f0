"""Tables of a run whose target is no class: metrics, intervals, tests, horizons of survival, single labels."""

import csv
from statistics import mean
from typing import Any

from hage_transfer.compare.differences import LOWER_IS_BETTER, METRIC_NAMES
from hage_transfer.report.cells import MISSING, Number, Table, number, spread
from hage_transfer.report.probe_tables import curve_table, p_value
from hage_transfer.report.runs import Run
from hage_transfer.report.tables import better_of


def value_tables(run: Run) -> tuple[Table, ...]:
    """All of them that a run has."""
    made = (metric_table, test_table, horizon_table, label_table, curve_table)
    return tuple(table for make in made if (table := make(run)) is not None)


def metric_table(run: Run) -> Table:
    """Every metric of every source, the main one with its interval and its difference from the baseline."""
    main, *others = run.meta["metrics"]
    unit = "patients (groups)" if run.meta["metric_unit"] == "group" else "rows"
    ranges = {row["source"]: row for row in run.meta["intervals"]}
    better = better_of([one for one in run.named.differences() if one.source not in run.controls])
    rows: list[tuple[str, ...]] = []
    strong: set[int] = set()
    for source in run.sources:
        delta = None if source == run.results.baseline else run.named.difference(source, run.results.baseline, main)
        if source == better:
            strong.add(len(rows))
        against = MISSING if delta is None else Number(f"{delta.mean:+z.3f}, {delta.verdict}", delta.mean)
        cells = [spread(list(run.fold_values(source, name).values())) for name in (main, *others)]
        rows.append((run.shown(source), cells[0], _range(ranges.get(source)), against, *cells[1:]))
    names = [METRIC_NAMES.get(name, name) for name in (main, *others)]
    lower = [METRIC_NAMES.get(name, name) for name in others if name in LOWER_IS_BETTER]
    caption = (
        f"Mean ± standard deviation over folds, judged by {unit}; the 95% interval is over {unit} drawn again, the "
        f"trained models being what they are. Lower is better: {', '.join(lower) or 'none'}."
    )
    header = ("Features", names[0], "95% interval", f"{names[0]} minus {run.results.baseline}'s", *names[1:])
    return Table(caption, header, tuple(rows), strong=frozenset(strong), title="Metrics")


def test_table(run: Run) -> Table | None:
    """Differences over folds; None with one source."""
    found = run.meta.get("paired_tests", [])
    if not found:
        return None
    rows = tuple(
        (
            f"{row['source']} minus {row['baseline']}",
            METRIC_NAMES.get(row["metric"], row["metric"]),
            number(row["mean"], "+z.3f"),
            number(row["std"]),
            p_value(row["t_p_value"]),
            p_value(row["wilcoxon_p_value"]),
        )
        for row in found
    )
    caption = (
        "Differences fold by fold. t: corrected for the training rows that folds share (Nadeau & Bengio 2003); ranks: "
        f"Wilcoxon. {len(found)} tests: one in twenty is below 0.05 by chance."
    )
    header = ("Difference", "Metric", "Mean", "Std", "p, folds (t)", "p, folds (ranks)")
    return Table(caption, header, rows, text_columns=2, title="Paired tests")


def horizon_table(run: Run) -> Table | None:
    """Time-dependent AUC and Brier score at every horizon; None of other targets."""
    found = run.meta.get("horizons") or []
    if not found:
        return None
    rows = []
    for time in sorted({row["time"] for row in found}):
        cells: list[str] = [f"{time:g}"]
        for source in run.sources:
            own = [row for row in found if (row["source"], row["time"]) == (source, time)]
            cells += [_mean([row[name] for row in own]) for name in ("auc", "brier")]
        rows.append(tuple(cells))
    header = ("Time", *(f"{what}, {source}" for source in run.sources for what in ("AUC", "Brier")))
    caption = (
        "AUC of the risk for an event by that time, and Brier score of the predicted survival, both weighted by the "
        "censoring of the training rows; means over the folds (and trials) whose follow-up reaches it. Brier: lower is "
        "better."
    )
    return Table(caption, header, tuple(rows), title="By time")


def label_table(run: Run) -> Table | None:
    """AUC of every label of a target of several; None of others."""
    path = run.path / "per_label.csv"
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as handle:
        found = list(csv.DictReader(handle))
    first = [row for row in found if (row["source"], row["trial"]) == (found[0]["source"], found[0]["trial"])]
    rows = []
    for label in dict.fromkeys(row["label"] for row in found):
        cells = []
        for source in run.sources:
            own = [row for row in found if (row["source"], row["label"]) == (source, label)]
            cells.append(_mean([float(row["auc"]) if row["auc"] else None for row in own]))
        counts = [sum(int(row[name]) for row in first if row["label"] == label) for name in ("positive", "known")]
        rows.append((label, *cells, number(counts[0], ",d"), number(counts[1], ",d")))
    header = ("Label", *(f"AUC, {source}" for source in run.sources), "Positive", "Known")
    return Table("Mean over folds (and trials).", header, tuple(rows), title="Labels")


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return number(mean(known) if known else None)


def _range(row: dict[str, Any] | None) -> str:
    if row is None or row["low"] is None:
        return MISSING
    return Number(f"{row['low']:z.3f} to {row['high']:z.3f}", float(row["low"]))
