"""The table of Figure 3: every classifier run, every feature source."""

from collections.abc import Sequence

from hage_transfer.compare.differences import Difference
from hage_transfer.report.cells import MISSING, Number, Table, spread
from hage_transfer.report.runs import Run

CLASSIFIER_METRICS = {"auc": "AUC", "accuracy": "Accuracy", "recall": "Recall"}
_KINDS = {"probe": ("Patches", "linear probe", "patches"), "mil": ("Slides", "AB-MIL", "slides")}
_BAG_CLASSIFIERS = {
    "abmil": "AB-MIL",
    "clam_sb": "CLAM-SB",
    "clam_mb": "CLAM-MB",
    "mean": "mean pooling",
    "max": "max pooling",
    "transmil": "TransMIL",
}


def comparison_table(runs: Sequence[Run]) -> Table:
    """Mean and std over folds of each source of the classification runs, and the difference in AUC against frozen."""
    rows: list[tuple[str, ...]] = []
    strong: set[int] = set()
    for run in runs:
        baseline = run.results.baseline
        better = better_of([one for one in run.named.differences("auc") if one.source not in run.controls])
        for source in run.sources:
            cells = [spread(list(run.fold_values(source, metric).values())) for metric in CLASSIFIER_METRICS]
            delta = None if source == baseline else run.named.difference(source, baseline, "auc")
            if source == better:
                strong.add(len(rows))
            name = run.shown(source) + (f" ({len(run.trials(source))} trials)" if run.trials(source) else "")
            against = MISSING if delta is None else Number(f"{delta.mean:+z.3f}, {delta.verdict}", delta.mean)
            rows.append((task_title(run), name, cells[0], against, *cells[1:]))
    auc, *others = CLASSIFIER_METRICS.values()
    header = ("Task", "Features", auc, "AUC minus frozen's", *others)
    caption = (
        "Mean ± standard deviation over folds of the test rows. Same folds, seeds and classifier for every source; "
        "where a source has several trials, each fold's value is the mean of its trials. "
        "Marked: the better side in AUC, where the folds tell them apart."
    )
    return Table(caption, header, tuple(rows), strong=frozenset(strong), text_columns=2)


def better_of(found: Sequence[Difference]) -> str | None:
    """The source that gains most over the baseline; the baseline where every other one loses; None within noise."""
    gains = [one for one in found if one.verdict == "gain"]
    if gains:
        return max(gains, key=lambda one: abs(one.mean)).source
    return found[0].baseline if found and all(one.verdict == "loss" for one in found) else None


def task_title(run: Run) -> str:
    """What a classifier run did, on how many rows, in which folder."""
    kind, classifier, rows = _KINDS[run.task]
    model = run.meta.get("model")
    if isinstance(model, dict):
        given = str(model.get("kind", "abmil"))
        classifier = _BAG_CLASSIFIERS.get(given) or given.partition(":")[2] or given
    count = run.meta.get("rows")
    amount = f" ({count:,} {rows})" if isinstance(count, int) else ""
    return f"{kind}, {classifier}{amount}, {run.name}"
