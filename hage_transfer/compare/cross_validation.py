"""What a cross-validated comparison leaves behind, whatever the classifier: predictions, records, tests, their meta."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from hage_transfer.compare.classification import per_class_rows
from hage_transfer.compare.comparison import LabelledFolds, paired_tests, source_intervals
from hage_transfer.compare.controls import controls_in, with_roles
from hage_transfer.compare.guards import guard_warnings
from hage_transfer.compare.out_of_fold import (
    PREDICTION_ROWS,
    OutOfFold,
    classification_records,
    pooled_metrics,
    trials_as_one,
    write_predictions,
)
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import BASELINE, Results
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.compare.value_scoring import ValueScoring, write_rows
from hage_transfer.data.labels import LabelTable
from hage_transfer.running.run_directory import RESULTS_FILE

log = logging.getLogger(__name__)


def compared(
    predictions: Sequence[OutOfFold],
    scored: TestedRows,
    *,
    task: str,
    positive: int | None,
    by_group: bool,
    folder: Path,
    meta: Mapping[str, Any],
    values: ValueScoring | None = None,
) -> Results:
    """Scores every source, trial and fold, and tests the sources against each other.

    Writes into ``folder``: ``predictions.csv``, and as tables ``intervals.csv``, ``paired_tests.csv``,
    ``per_class.csv``, ``confusion.csv``. Tests are against the source ``frozen``, or the first where none has that
    name. An earlier ``results.json`` there is removed first: beside new tables it would speak of old ones, and a run
    that ends in between has no results yet.

    Args:
        predictions: out-of-fold probabilities of each source and trial.
        scored: the rows that they are of.
        task: ``probe`` or ``mil``.
        positive: place of the class that AUC and recall speak of; None: means over classes.
        by_group: whether the folds kept groups together.
        folder: the run directory.
        meta: what the task adds to the results' meta.
        values: of a target that is no class, which then says everything in its own way.
    """
    (folder / RESULTS_FILE).unlink(missing_ok=True)
    labels, test_rows = scored.labels, scored.folds
    if values is not None:
        found = values.compared(predictions, task=task, folder=folder)
        of_target = {"task": task, "folds_by": "group" if by_group else "row", **labels.meta(positive=None)}
        of_target |= {**scored.meta(positive=None), **found.meta}
        return _guarded(Results(found.records, of_target), scored, meta)
    n_rows = write_predictions(
        folder / "predictions.csv",
        predictions,
        key_column=labels.key_column,
        keys=labels.keys.tolist(),
        labels=labels.class_indices,
        classes=labels.classes,
        test_rows=test_rows,
    )
    tested = LabelledFolds(labels.class_indices, test_rows, labels.group_indices, positive, scored.sizes)
    records = classification_records(
        predictions, task=task, labels=tested.labels, test_rows=test_rows, positive=positive
    )
    claims = _claims(predictions, records, tested)
    for name, table in claims.items():
        write_rows(folder / f"{name}.csv", table)
    write_rows(folder / "per_class.csv", per_class(predictions, labels, tested))
    write_rows(folder / "confusion.csv", confusion(predictions, labels, tested))
    tested_counts = np.bincount(tested.labels[tested.all_rows], minlength=len(labels.classes)).tolist()
    shared = {
        "task": task,
        **labels.meta(positive=positive),
        "test_class_counts": dict(zip(labels.classes, tested_counts, strict=True)),
        "folds_by": "group" if by_group else "row",
        PREDICTION_ROWS: n_rows,
        "pooled": pooled_metrics(predictions, labels=tested.labels, rows=tested.all_rows, positive=positive),
        "trials_as_one": _as_one(trials_as_one(predictions), tested, task=task),
        **claims,
        **scored.meta(positive=positive),
    }
    return _guarded(Results(records, shared), scored, meta)


def _guarded(found: Results, scored: TestedRows, meta: Mapping[str, Any]) -> Results:
    """Results with what the task adds to them, who is a control, and everything that anybody doubts."""
    features = meta.get("features", {})
    controls = controls_in(features)  # of the same patches as what they stand beside: one warning is enough
    guards = guard_warnings({name: one for name, one in features.items() if name not in controls}, scored.whole)
    for guard in guards:
        log.warning("%s", guard)
    warnings = [*meta.get("warnings", []), *found.meta["warnings"], *guards]
    return Results(with_roles(found.records, controls), {**found.meta, **meta, "warnings": warnings})


def _claims(
    predictions: Sequence[OutOfFold], records: Sequence[Record], tested: LabelledFolds
) -> dict[str, list[dict[str, Any]]]:
    names = list(dict.fromkeys(prediction.source for prediction in predictions))
    baseline = BASELINE if BASELINE in names else names[0]
    return {
        "intervals": source_intervals(predictions, tested),
        "paired_tests": paired_tests(predictions, records, tested, baseline=baseline),
    }


def _as_one(predictions: Sequence[OutOfFold], tested: LabelledFolds, *, task: str) -> dict[str, Any]:
    """Records, intervals and tests of sources whose trials vote together; empty where none has several."""
    if not predictions:
        return {}
    records = classification_records(
        predictions, task=task, labels=tested.labels, test_rows=tested.folds, positive=tested.positive
    )
    return {"records": [asdict(record) for record in records], **_claims(predictions, records, tested)}


def per_class(predictions: Sequence[OutOfFold], labels: LabelTable, tested: LabelledFolds) -> list[dict[str, Any]]:
    """Precision, recall, F1 and AUC of every class over all test rows, a row for each source, trial and class."""
    rows = tested.all_rows
    return [
        {"source": p.source, "trial": p.trial, **row}
        for p in predictions
        for row in per_class_rows(tested.labels[rows], p.probabilities[rows], labels.classes)
    ]


def confusion(predictions: Sequence[OutOfFold], labels: LabelTable, tested: LabelledFolds) -> list[dict[str, Any]]:
    """Test rows of every true class by the class that was predicted, a row for each source, trial and true class."""
    rows, n_classes = tested.all_rows, len(labels.classes)
    found = []
    for p in predictions:
        table = confusion_matrix(tested.labels[rows], p.probabilities[rows].argmax(axis=1), labels=range(n_classes))
        for number, name in enumerate(labels.classes):
            counts = {
                f"predicted_{other}": int(count) for other, count in zip(labels.classes, table[number], strict=True)
            }
            found.append({"source": p.source, "trial": p.trial, "label": name, **counts})
    return found
