"""What a cross-validated comparison leaves behind, whatever the classifier: predictions, records, and their meta."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.data.labels import LabelTable
from hage_transfer.metrics.out_of_fold import OutOfFold, classification_records, pooled_metrics, write_predictions
from hage_transfer.results import Results


def compared(
    predictions: Sequence[OutOfFold],
    labels: LabelTable,
    *,
    task: str,
    test_rows: Mapping[str, np.ndarray],
    positive: int | None,
    by_group: bool,
    folder: Path,
    meta: Mapping[str, Any],
) -> Results:
    """Writes ``predictions.csv`` into ``folder`` and scores every source, trial and fold.

    Args:
        predictions: out-of-fold probabilities of each source and trial.
        labels: of the rows.
        task: ``probe`` or ``mil``.
        test_rows: each fold's test rows.
        positive: place of the class that AUC and recall speak of; None: means over classes.
        by_group: whether the folds kept groups together.
        folder: the run directory.
        meta: what the task adds to the results' meta.
    """
    write_predictions(
        folder / "predictions.csv",
        predictions,
        key_column=labels.key_column,
        keys=labels.keys.tolist(),
        labels=labels.class_indices,
        classes=labels.classes,
        test_rows=test_rows,
    )
    records = classification_records(
        predictions, task=task, labels=labels.class_indices, test_rows=test_rows, positive=positive
    )
    shared = {
        "task": task,
        **labels.meta(positive=positive),
        "folds_by": "group" if by_group else "row",
        "pooled": pooled_metrics(predictions, labels=labels.class_indices, positive=positive),
    }
    return Results(records, {**shared, **meta})
