"""What `hage probe` and `hage mil` have in common on the command line: the table they end with."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from hage_transfer.cli import printed
from hage_transfer.compare.records import MEAN, STD

if TYPE_CHECKING:
    from hage_transfer.compare.results import Results

COLUMNS = (
    {"accuracy": "accuracy", "auc": "AUC", "recall": "recall"},
    {"balanced_accuracy": "balanced accuracy", "f1": "F1", "calibration_error": "calibration error"},
)
CLASSIFIERS = {
    "linear": "linear probe",
    "logistic": "logistic regression",
    "knn": "nearest neighbours",
    "class_mean": "nearest class mean",
}


def show_table(results: "Results", console: Console) -> None:
    """Prints each source's mean and std over folds: of its trials' mean score, then of the trials as one classifier."""
    meta = results.meta
    counts = ", ".join(f"{number} {name}" for name, number in (meta.get("class_counts") or meta["strata"]).items())
    columns: Sequence[Mapping[str, str]] = COLUMNS
    positive = f"positive class {meta.get('positive')}"
    if "metrics" in meta:
        from hage_transfer.compare.differences import METRIC_NAMES  # NumPy, which no --help needs

        columns = ({name: METRIC_NAMES.get(name, name) for name in meta["metrics"]},)
        positive = f"{meta['target']['kind']}, judged by {meta['metric_unit']}"
    elif not meta["positive"]:
        positive = "AUC, recall and F1 are means over classes"
    tested = [record for record in results.records if record.split == "test"]
    folds = {record.fold for record in tested} - {MEAN, STD}
    console.print(f"{meta['rows']} rows ({counts}), {_folds(meta, len(folds))}, {positive}")
    n_trials = {source: str(max(len(results.trials(source)), 1)) for source in results.sources}
    for metrics in columns:
        console.print(_metrics_table(results, metrics, n_trials))
    as_one = results.trials_as_one
    if as_one is not None:
        console.print(
            "Trials of a source as one classifier, their probabilities averaged (a source of one has nothing to gain):",
        )
        console.print(_metrics_table(as_one, columns[0], n_trials))


def _metrics_table(results: "Results", metrics: Mapping[str, str], n_trials: Mapping[str, str]) -> Table:
    controls = {record.source for record in results.records if record.role == "control"}
    table = printed.table("source", "trials", *metrics.values())
    for source in results.sources:
        cells = []
        for metric in metrics:
            rows = results.select(source=source, metric=metric, trial=None, split="test")
            found = {record.fold: record.value for record in rows}
            cells.append(_mean_and_std(found.get(MEAN), found.get(STD)))
        table.add_row(f"{source} (control)" if source in controls else source, n_trials[source], *cells)
    return table


def show_cross_checks(results: "Results", console: Console) -> None:
    """Prints the other classifiers on the same folds, where there are any."""
    rows = results.meta.get("cross_checks", [])
    if not rows:
        return
    found = {(row["classifier"], row["source"], row["metric"]): row for row in rows}
    metrics = COLUMNS[0]
    table = printed.table("classifier", "source", *metrics.values())
    for classifier, source in dict.fromkeys((row["classifier"], row["source"]) for row in rows):
        cells = [found.get((classifier, source, metric), {}) for metric in metrics]
        name = CLASSIFIERS.get(classifier, classifier)
        table.add_row(name, source, *(_mean_and_std(cell.get("mean"), cell.get("std")) for cell in cells))
    console.print(table)


def show_curve(results: "Results", console: Console) -> None:
    """Prints AUC by amount of labels, mean over folds and draws, where a learning curve was asked for."""
    rows = [row for row in results.meta.get("learning_curve", []) if row["metric"] == "auc"]
    if not rows:
        return
    amounts = list(dict.fromkeys(row["amount"] for row in sorted(rows, key=lambda row: row["labels"])))
    console.print(
        f"AUC by amount of labels, mean ± std over folds and draws of {results.meta['curve_unit']}s",
    )
    table = printed.table("source", *amounts)
    for source in dict.fromkeys(row["source"] for row in rows):
        cells = []
        for amount in amounts:
            values = [r["value"] for r in rows if (r["source"], r["amount"]) == (source, amount)]
            values = [value for value in values if value is not None]
            cells.append(_mean_and_std(mean(values), stdev(values) if len(values) > 1 else None) if values else "")
        table.add_row(source, *cells)
    console.print(table)


def _folds(meta: Mapping[str, Any], number: int) -> str:
    if meta.get("split") == "official":
        return "the published train, valid and test parts"
    kept = f"kept together by group ({meta['groups']})" if meta["folds_by"] == "group" else "stratified by row"
    return f"{number} folds {kept}"


def _mean_and_std(value: float | None, std: float | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:.3f}" + (f" ± {std:.3f}" if std is not None else "")


def show_differences(results: "Results", console: Console) -> None:
    """Prints how each other source differs from the first in AUC, in a sentence with its uncertainty; no controls."""
    from hage_transfer.compare.controls import ascribed, controls_of  # NumPy, which no --help needs
    from hage_transfer.compare.null import null_in

    controls = controls_of(results)
    for difference in results.differences():
        if difference.source in controls:
            continue
        owed = ascribed(results, difference.source)
        said = "" if owed is None else f" Of {difference.source}: {owed.clause}."
        console.print(difference.sentence() + said)

    null = null_in(results)
    if null is not None:
        unit = "slides" if results.task == "mil" else "patches"
        console.print(null.sentence(unit))
