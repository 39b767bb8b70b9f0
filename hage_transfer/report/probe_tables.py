"""Tables of a classifier run beside its main one: intervals and tests, other classifiers, classes, few labels."""

import csv
from collections.abc import Mapping
from statistics import mean
from typing import Any

from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.compare.error_rates import measured_rates
from hage_transfer.report.cells import MISSING, Number, Table, mean_std, number, spread
from hage_transfer.report.runs import Run

METRICS = {
    "auc": "AUC",
    "accuracy": "Accuracy",
    "recall": "Recall",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "calibration_error": "Calibration error",
}
CLASSIFIERS = {
    "linear": "Linear probe (the paper's)",
    "logistic": "Logistic regression, L-BFGS",
    "knn": "Nearest neighbours",
    "class_mean": "Nearest class mean",
}

CLASS_METRICS = {"auc": "AUC", "precision": "Precision", "recall": "Recall", "f1": "F1"}
FEW_CLASSES = 4


def metrics_table(run: Run) -> Table | None:
    """Balanced accuracy, F1 and calibration error of each source; None in a run without them."""
    names = ("balanced_accuracy", "f1", "calibration_error")
    if not any(record.metric in names for record in run.results.records):
        return None
    rows = tuple(
        (source, *(spread(list(run.fold_values(source, name).values())) for name in names)) for source in run.sources
    )
    caption = "Mean ± standard deviation over folds. Calibration error: lower is better."
    return Table(caption, ("Features", *(METRICS[name] for name in names)), rows, title="More measures")


def as_one_table(run: Run) -> Table | None:
    """Each source's trials as one classifier, beside their mean; None where no source has several trials."""
    as_one = run.results.trials_as_one
    if as_one is None:
        return None
    names = ("auc", "accuracy", "recall", "calibration_error")
    ranges = {row["source"]: _range(row) for row in as_one.meta["intervals"] if row["metric"] == "auc"}
    rows = tuple(
        (
            f"{source} ({max(len(run.trials(source)), 1)})",
            *(spread(list(as_one.fold_values(source, name).values())) for name in names),
            ranges.get(source, MISSING),
            spread(list(run.fold_values(source, "auc").values())),
        )
        for source in as_one.sources
    )
    header = ("Features (trials)", *(METRICS[name] for name in names), "95% interval of AUC", "AUC, mean of trials")
    caption = (
        "The probabilities of a source's trials averaged and scored once: what keeping all of its models would give. "
        "The other tables hold the mean of the single trials' scores, what one more training should give. "
        "A source of one trial has no such gain, so compare sources with as many."
    )
    return Table(caption, header, rows, title="Trials as one classifier")


def interval_table(run: Run) -> Table | None:
    """Intervals of each source over groups; None in a run without them."""
    found = run.meta.get("intervals", [])
    if not found:
        return None
    rows = tuple(
        (
            str(row["source"]),
            METRICS.get(row["metric"], row["metric"]),
            number(row["mean"]),
            _range(row),
            str(row["method"] or row["reason"]),
            number(row["n_units"], ",d"),
        )
        for row in found
    )
    caption = (
        "95% intervals over the tested groups (or rows), the trained models being what they are: how far the numbers "
        "could move with other patients of the same kind. Accuracy counts every test row once; AUC is the mean over "
        f"folds. {_own_coverage()}"
    )
    return Table(
        caption, ("Features", "Metric", "Value", "95% interval", "By", "Units"), rows, text_columns=2, title="Intervals"
    )


def paired_table(run: Run) -> Table | None:
    """Paired tests of each source against the baseline; None in a run with one source."""
    found = run.meta.get("paired_tests", [])
    if not found:
        return None
    rows = tuple(
        (
            f"{row['source']} minus {row['baseline']}",
            METRICS.get(row["metric"], row["metric"]),
            number(row["mean"], "+z.3f"),
            number(row["std"]),
            _folds_interval(run, row),
            p_value(row["t_p_value"]),
            p_value(row["wilcoxon_p_value"]),
            p_value(row.get("delong_p_value")),
        )
        for row in found
    )
    by = next((row["delong_by"] for row in found if row.get("delong_by")), "row")
    header = (
        "Difference",
        "Metric",
        "Mean",
        "Std",
        "95% interval (t)",
        "p, folds (t)",
        "p, folds (ranks)",
        "p, DeLong",
    )
    caption = (
        "Differences fold by fold. t: corrected for the training rows that folds share (Nadeau & Bengio 2003). Ranks: "
        f"Wilcoxon, which with five folds never falls below 0.0625. DeLong's test needs every class in two {by}s of "
        f"each fold; it takes the trained models as they are and asks of other test {by}s, so it finds more "
        f"than another training would show ({_test_errors()}). "
        f"{len(found)} tests: one in twenty is below 0.05 by chance."
    )
    return Table(caption, header, rows, text_columns=2, title="Paired tests")


def _folds_interval(run: Run, row: Mapping[str, Any]) -> str:
    """The page's one interval of a difference: over folds, as the verdict's."""
    one = run.named.difference(row["source"], row["baseline"], row["metric"])
    return _range(
        {} if one is None or one.interval is None else dict(zip(("low", "high"), one.interval, strict=True)),
        signed=True,
    )


def _own_coverage() -> str:
    """How often such an interval holds what a new training would give, as measured on simulated sets."""
    rates = measured_rates()
    return (
        "For what a new training on as many rows would give they are too short: measured on simulated sets, they "
        f"cover it in {rates.span('coverage')} of cases (docs/error-rates.md)."
    )


def _test_errors() -> str:
    rates = measured_rates()
    return (
        f"measured for that question at a nominal 5%: DeLong errs in {rates.span('delong')}, t over folds in at most "
        f"{rates.worst_verdict:.0%}"
    )


def cross_check_table(run: Run) -> Table | None:
    """Other classifiers on the same folds; None where none was asked for."""
    found = run.meta.get("cross_checks", [])
    if not found:
        return None
    cells = {(row["classifier"], row["source"], row["metric"]): row for row in found}
    names = ("auc", "accuracy", "recall", "balanced_accuracy", "f1")
    rows = tuple(
        (
            CLASSIFIERS.get(classifier, classifier),
            str(source),
            *(mean_std(cells.get((classifier, source, name))) for name in names),
        )
        for classifier, source in dict.fromkeys((row["classifier"], row["source"]) for row in found)
    )
    header = ("Classifier", "Features", *(METRICS[name] for name in names))
    caption = "Other classifiers on the same features and folds: mean ± standard deviation over folds, trials averaged."
    return Table(caption, header, rows, text_columns=2, title="Other classifiers")


def curve_table(run: Run) -> Table | None:
    """The main metric by amount of labels; None where no learning curve was asked for."""
    main, curve = run.results.main_metric, run.meta.get("learning_curve", [])
    found = [row for row in curve if row["metric"] == main and row["value"] is not None]
    if not found:
        return None
    amounts = list(dict.fromkeys(row["amount"] for row in sorted(found, key=lambda row: row["labels"])))
    rows = tuple(
        (
            str(source),
            *(spread([r["value"] for r in found if (r["source"], r["amount"]) == (source, one)]) for one in amounts),
        )
        for source in dict.fromkeys(row["source"] for row in found)
    )
    titles = {one: f"{one} of the labels" if one.endswith("%") else one for one in amounts}
    header = ("Features", *({**titles, "all": "all labels"}[one] for one in amounts))
    unit = run.meta.get("curve_unit", "row")
    name = METRIC_NAMES.get(main, main)
    caption = (
        f"{name} of the linear probe, mean ± standard deviation over folds and draws of {unit}s, the same for all."
    )
    return Table(caption, header, rows, title="Few labels")


def class_table(run: Run) -> Table | None:
    """Scores of each class, all test rows, trials averaged; None in a run without them.

    Few classes have a row for each source; many have one row, with F1 and AUC of every source beside each other.
    """
    path = run.path / "per_class.csv"
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as handle:
        found = list(csv.DictReader(handle))
    values: dict[tuple[str, str, str], list[float]] = {}
    for row in found:
        for name in CLASS_METRICS:
            own = values.setdefault((row["class"], row["source"], name), [])
            own += [float(row[name])] if row[name] else []
    cells = {place: number(mean(own) if own else None) for place, own in values.items()}
    counts = {row["class"]: number(int(row["rows"]), ",d") for row in found}
    sources = list(dict.fromkeys(row["source"] for row in found))
    caption = "Each class over all test rows, folds pooled, trials averaged."
    if len(counts) <= FEW_CLASSES:
        header = ("Class", "Features", *CLASS_METRICS.values(), "Rows")
        rows = [
            (label, source, *(cells[label, source, name] for name in CLASS_METRICS), counts[label])
            for label in counts
            for source in sources
        ]
        return Table(caption, header, tuple(rows), text_columns=2, title="Classes")
    shown = [(name, source) for name in ("f1", "auc") for source in sources]
    header = ("Class", *(f"{CLASS_METRICS[name]}, {source}" for name, source in shown), "Rows")
    rows = [(label, *(cells[label, source, name] for name, source in shown), counts[label]) for label in counts]
    return Table(f"{caption} Precision and recall are in per_class.csv.", header, tuple(rows), title="Classes")


def classifier_tables(run: Run) -> tuple[Table, ...]:
    """All of them that a run has."""
    made = (metrics_table, as_one_table, interval_table, paired_table, cross_check_table, curve_table, class_table)
    return tuple(table for make in made if (table := make(run)) is not None)


def _range(row: Mapping[str, Any], *, signed: bool = False) -> str:
    if row.get("low") is None:
        return MISSING
    form = "+z.3f" if signed else "z.3f"
    return Number(f"{row['low']:{form}} to {row['high']:{form}}", float(row["low"]))


def p_value(value: float | None) -> str:
    """Four decimals, as the least p of five folds by ranks (0.0625) has."""
    return number(value, ".4f") if value is None or value >= 0.001 else Number("< 0.001", value)
