"""Out-of-fold predictions of a classifier and what is made of them: records, summary rows, `predictions.csv`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.atomic import write_csv
from hage_transfer.metrics.classification import classification_metrics
from hage_transfer.results import Record, summarise


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of one source and trial, each row's made by the model that did not train on it.

    Attributes:
        source: named feature source.
        trial: number of the source's encoder; None where the source has one only.
        probabilities: rows sum to 1.
    """

    source: str
    trial: int | None
    probabilities: Float[np.ndarray, "batch class"]


def classification_records(
    predictions: Sequence[OutOfFold],
    *,
    task: str,
    labels: Int[np.ndarray, "batch"],
    test_rows: Mapping[str, Int[np.ndarray, "rows"]],
    positive: int | None,
) -> list[Record]:
    """Metrics of every source, trial and fold, then mean and std over folds.

    A source with several trials also has rows of trial None: the mean of the trials' metrics in each fold (the
    paper: "the average of our five models"), whose std is therefore over folds, not over trials.

    Args:
        predictions: of every source and trial.
        task: ``probe`` or ``mil``.
        labels: true class of each row.
        test_rows: a fold's name to its test rows.
        positive: as in ``classification_metrics``.
    """
    records = []
    for prediction in predictions:
        for fold, rows in test_rows.items():
            scores = classification_metrics(labels[rows], prediction.probabilities[rows], positive=positive)
            records += [
                Record(task, prediction.source, "test", fold, prediction.trial, metric, value)
                for metric, value in scores.items()
            ]
    records += _means_over_trials(records)
    return [*records, *summarise(records)]


def pooled_metrics(
    predictions: Sequence[OutOfFold], *, labels: Int[np.ndarray, "batch"], positive: int | None
) -> list[dict[str, Any]]:
    """Metrics over the rows of all folds at once, for sets whose folds are a handful of rows.

    Folds have different models whose scores need not share a scale, so a pooled AUC is no substitute for the mean.
    """
    return [
        {"source": p.source, "trial": p.trial, **classification_metrics(labels, p.probabilities, positive=positive)}
        for p in predictions
    ]


def write_predictions(
    path: Path,
    predictions: Sequence[OutOfFold],
    *,
    key_column: str,
    keys: Sequence[str],
    labels: Int[np.ndarray, "batch"],
    classes: Sequence[str],
    test_rows: Mapping[str, Int[np.ndarray, "rows"]],
) -> None:
    """Writes `predictions.csv`: source, trial, key (or slide), fold, label, predicted, a probability per class."""
    fold_of_row = {int(row): fold for fold, rows in test_rows.items() for row in rows}
    columns = ["source", "trial", key_column, "fold", "label", "predicted", *(f"probability_{c}" for c in classes)]

    def rows() -> Iterator[dict[str, Any]]:
        for prediction in predictions:
            chosen = prediction.probabilities.argmax(axis=1)
            for row, key in enumerate(keys):
                yield {
                    "source": prediction.source,
                    "trial": "" if prediction.trial is None else prediction.trial,
                    key_column: key,
                    "fold": fold_of_row[row],
                    "label": classes[labels[row]],
                    "predicted": classes[chosen[row]],
                    **{
                        f"probability_{name}": f"{value:.6g}"
                        for name, value in zip(classes, prediction.probabilities[row], strict=True)
                    },
                }

    write_csv(path, columns, rows())


def _means_over_trials(records: Sequence[Record]) -> list[Record]:
    trials: dict[tuple[str, str, str, str], list[float | None]] = {}
    for record in records:
        if record.trial is not None:
            trials.setdefault((record.task, record.source, record.fold, record.metric), []).append(record.value)
    means = []
    for (task, source, fold, metric), values in trials.items():
        defined = [value for value in values if value is not None]
        mean = float(np.mean(defined)) if defined else None
        means.append(Record(task, source, "test", fold, None, metric, mean))
    return means
