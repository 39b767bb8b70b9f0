"""Scores of a fold: every method on every test section, after model selection, never pooled over sections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int

from hage_transfer.metrics.genes import gene_table, highly_expressed, mae, mse
from hage_transfer.results import Record, finite
from pretrain.baselines import CONTROLS, ridge
from pretrain.calibration import calibrate
from pretrain.dataset import FoldData

TASK, HAGE, AVERAGED = "pretrain", "hage", "hage_averaged"


@dataclass(frozen=True)
class TrialPredictions:
    """What a trial predicted, raw: for the spots of the training sections (to calibrate) and of the test sections."""

    train: Float[np.ndarray, "train gene"]
    test: Float[np.ndarray, "test gene"]
    validation_pcc: float
    curves: Sequence[tuple[int, str, float]]

    @classmethod
    def load(cls, path: Path) -> "TrialPredictions":
        """Reads the file that a trial wrote as its last act."""
        with h5py.File(path, "r") as file:
            epochs, terms, values = (file[f"curves/{name}"] for name in ("epoch", "term", "value"))
            curves = list(zip(epochs[...].tolist(), terms.asstr()[...].tolist(), values[...].tolist(), strict=True))
            return cls(file["train"][...], file["test"][...], float(file.attrs["validation_pcc"]), curves)


@dataclass(frozen=True)
class MethodPredictions:
    """One row of a gene table: predictions of the test spots, and calibrated ones where the scale is arbitrary."""

    source: str
    trial: int | None
    raw: Float[np.ndarray, "test gene"]
    calibrated: Float[np.ndarray, "test gene"] | None = None


def averaged(trials: Sequence[TrialPredictions], data: FoldData) -> MethodPredictions:
    """The mean of the trials' raw predictions, calibrated as one prediction."""
    train = np.mean([trial.train for trial in trials], axis=0)
    test = np.mean([trial.test for trial in trials], axis=0)
    calibrated = calibrate(test, train_predicted=train, train_target=data.train.target)
    return MethodPredictions(AVERAGED, None, test, calibrated)


def fold_records(
    trials: Sequence[TrialPredictions], data: FoldData, *, heg_from: str, ridge_alpha: float
) -> list[Record]:
    """Records of HAGE (each trial, their mean score, their averaged prediction) and of every baseline on a fold."""
    methods = [
        MethodPredictions(
            HAGE,
            number,
            trial.test,
            calibrate(trial.test, train_predicted=trial.train, train_target=data.train.target),
        )
        for number, trial in enumerate(trials)
    ]
    methods.append(averaged(trials, data))
    methods.append(MethodPredictions("ridge", None, ridge(data.train, data.test, alpha=ridge_alpha)))
    methods += [MethodPredictions(name, None, method(data.train, data.test)) for name, method in CONTROLS.items()]
    records = [record for method in methods for record in _score(method, data, heg_from=heg_from)]
    return records + mean_over_trials(records)


def mean_over_trials(records: Sequence[Record]) -> list[Record]:
    """Rows with trial None: the mean of the single trials' scores (not the score of an averaged prediction)."""
    groups: dict[tuple[str, str, str | None], list[float]] = {}
    fold = records[0].fold
    for record in records:
        if record.trial is not None and record.value is not None:
            groups.setdefault((record.source, record.metric, record.section), []).append(record.value)
    return [
        Record(TASK, source, "test", fold, None, metric, sum(values) / len(values), section)
        for (source, metric, section), values in groups.items()
    ]


def _score(method: MethodPredictions, data: FoldData, *, heg_from: str) -> list[Record]:
    train_heg = highly_expressed(data.train.target.mean(0))
    by_section: dict[str, dict[str, float]] = {}
    for name in data.test.section_names:
        rows = data.test.rows_of(name)
        heg = train_heg if heg_from == "train" else highly_expressed(data.test.target[rows].mean(0))
        by_section[name] = _section_scores(method, data, rows, heg)
    fold = data.fold.name
    records = [
        Record(TASK, method.source, "test", fold, method.trial, metric, finite(value), name)
        for name, scores in by_section.items()
        for metric, value in scores.items()
    ]
    for metric in next(iter(by_section.values())):
        values = [scores[metric] for scores in by_section.values() if math.isfinite(scores[metric])]
        mean = sum(values) / len(values) if values else None
        records.append(Record(TASK, method.source, "test", fold, method.trial, metric, mean))
    return records


def _section_scores(
    method: MethodPredictions, data: FoldData, rows: Int[np.ndarray, " row"], heg: Int[np.ndarray, " gene"]
) -> dict[str, float]:
    target = data.test.target[rows]
    scores = gene_table(method.raw[rows], target, heg)
    if method.calibrated is not None:
        scores["mse_calibrated"] = mse(method.calibrated[rows], target)
        scores["mae_calibrated"] = mae(method.calibrated[rows], target)
    return scores
