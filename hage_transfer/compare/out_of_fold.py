"""Out-of-fold predictions of a classifier and what is made of them: records, summary rows, `predictions.csv`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.classification import classification_metrics
from hage_transfer.compare.records import Record, mean_of_defined, summarise
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import atomic_path

PREDICTION_ROWS = "prediction_rows"
"""Key of a result's meta: how many rows `predictions.csv` has."""


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of one source and trial, each row's made by the model that did not train on it.

    Attributes:
        source: named feature source.
        trial: number of the source's encoder; None where the source has one only.
        probabilities: rows sum to 1; scores of a target that is no class.
    """

    source: str
    trial: int | None
    probabilities: Float[np.ndarray, "batch class"]


def classification_records(
    predictions: Sequence[OutOfFold],
    *,
    task: str,
    labels: Int[np.ndarray, " batch"],
    test_rows: Mapping[str, Int[np.ndarray, " rows"]],
    positive: int | None,
    split: str = "test",
) -> list[Record]:
    """Metrics of every source, trial and fold, then mean and std over folds; see ``scored_records``.

    Args:
        predictions: of every source and trial.
        task: ``probe`` or ``mil``.
        labels: true class of each row.
        test_rows: a fold's name to its test rows.
        positive: as in ``classification_metrics``.
        split: what the rows are, ``test`` or ``validation``.
    """

    def measure(fold: str, shares: np.ndarray) -> Mapping[str, float | None]:
        rows = test_rows[fold]
        return classification_metrics(labels[rows], shares[rows], positive=positive)

    return scored_records(predictions, task=task, folds=list(test_rows), measure=measure, split=split)


def scored_records(
    predictions: Sequence[OutOfFold],
    *,
    task: str,
    folds: Sequence[str],
    measure: Callable[[str, np.ndarray], Mapping[str, float | None]],
    split: str = "test",
) -> list[Record]:
    """Metrics of every source, trial and fold, then mean and std over folds.

    A source with several trials also has rows of trial None: the mean of the trials' metrics in each fold (the
    paper: "the average of our five models"), whose std is therefore over folds, not over trials.

    Args:
        predictions: of every source and trial.
        task: ``probe`` or ``mil``.
        folds: their names.
        measure: metrics of a fold's name and a source's predictions of all rows.
        split: what the rows are, ``test`` or ``validation``.
    """
    records = []
    for prediction in predictions:
        for fold in folds:
            scores = measure(fold, prediction.probabilities)
            records += [
                Record(
                    task=task,
                    source=prediction.source,
                    split=split,
                    fold=fold,
                    trial=prediction.trial,
                    metric=metric,
                    value=value,
                )
                for metric, value in scores.items()
            ]
    records += _means_over_trials(records)
    return [*records, *summarise(records)]


def trials_as_one(predictions: Sequence[OutOfFold]) -> list[OutOfFold]:
    """Every source as one classifier: the mean of its trials' probabilities, of trial None; empty with no such source.

    What somebody who keeps all models would use (the heatmaps do), and the other reading of the paper's "average of
    our five models". A source with one trial stands as it is, so that the others can be compared with it.
    """
    trials: dict[str, list[np.ndarray]] = {}
    for prediction in predictions:
        trials.setdefault(prediction.source, []).append(prediction.probabilities)
    if all(len(found) == 1 for found in trials.values()):
        return []
    return [OutOfFold(source, None, np.mean(found, axis=0)) for source, found in trials.items()]


def pooled_metrics(
    predictions: Sequence[OutOfFold], *, labels: Int[np.ndarray, " batch"], rows: np.ndarray, positive: int | None
) -> list[dict[str, Any]]:
    """Metrics over the test rows of all folds at once, for sets whose folds are a handful of rows.

    Folds have different models whose scores need not share a scale, so a pooled AUC is no substitute for the mean.
    """
    return [
        {
            "source": p.source,
            "trial": p.trial,
            **classification_metrics(labels[rows], p.probabilities[rows], positive=positive),
        }
        for p in predictions
    ]


def write_predictions(
    path: Path,
    predictions: Sequence[OutOfFold],
    *,
    key_column: str,
    keys: Sequence[str],
    labels: Int[np.ndarray, " batch"],
    classes: Sequence[str],
    test_rows: Mapping[str, Int[np.ndarray, " rows"]],
) -> int:
    """Writes `predictions.csv`: source, trial, key (or slide), fold, label, predicted, a probability per class.

    Test rows alone, in the order of ``keys``.

    Returns:
        How many rows the table has, for ``check_prediction_rows``.
    """
    names = np.array(classes, dtype=object)

    def columns(rows: np.ndarray, shares: np.ndarray) -> Mapping[str, np.ndarray]:
        found = {"label": names[labels[rows]], "predicted": names[shares.argmax(axis=1)]}
        return found | {f"probability_{name}": shares[:, place] for place, name in enumerate(classes)}

    return write_scores(path, predictions, key_column=key_column, keys=keys, test_rows=test_rows, columns=columns)


def write_scores(
    path: Path,
    predictions: Sequence[OutOfFold],
    *,
    key_column: str,
    keys: Sequence[str],
    test_rows: Mapping[str, Int[np.ndarray, " rows"]],
    columns: Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]],
) -> int:
    """As ``write_predictions``, with what ``columns`` makes of the tested rows and their scores behind the fold."""
    import pandas as pd

    fold_of_row = np.full(len(keys), "", dtype=object)
    for fold, rows in test_rows.items():
        fold_of_row[rows] = fold
    tested = np.flatnonzero(fold_of_row != "")
    shared = {key_column: np.array(keys, dtype=object)[tested], "fold": fold_of_row[tested]}
    with atomic_path(path) as temporary:
        for number, prediction in enumerate(predictions):
            trial = "" if prediction.trial is None else prediction.trial
            found = columns(tested, prediction.probabilities[tested])
            table = pd.DataFrame({"source": prediction.source, "trial": trial, **shared, **found})
            table.to_csv(temporary, mode="a" if number else "w", header=not number, index=False, float_format="%.6g")
    return len(tested) * len(predictions)


def check_prediction_rows(path: Path, n_rows: int, meta: Mapping[str, Any]) -> None:
    """Refuses a table of predictions that lost rows; runs of earlier versions do not say how many there were.

    Raises:
        DataError: not as many rows as the results' meta says.
    """
    wanted = meta.get(PREDICTION_ROWS)
    if wanted is not None and n_rows != wanted:
        raise DataError(f"{path}: has {n_rows} rows, the run wrote {wanted}; run it again with overwrite=True")


def _means_over_trials(records: Sequence[Record]) -> list[Record]:
    trials: dict[tuple[str, str, str, str, str], list[float | None]] = {}
    for record in records:
        if record.trial is not None:
            key = (record.task, record.source, record.split, record.fold, record.metric)
            trials.setdefault(key, []).append(record.value)
    means = []
    for (task, source, split, fold, metric), values in trials.items():
        means.append(
            Record(
                task=task,
                source=source,
                split=split,
                fold=fold,
                trial=None,
                metric=metric,
                value=mean_of_defined(values),
            )
        )
    return means
