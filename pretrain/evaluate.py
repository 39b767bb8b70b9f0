"""Scores of a fold: every method on every test section, after model selection, never pooled over sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.genes import gene_pcc, gene_table, highly_expressed, mae, mse, pcc_mean
from hage_transfer.compare.records import Record
from hage_transfer.pretrain.calibration import calibrate
from hage_transfer.pretrain.contenders import Contender
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.section_rows import over_trials, section_rows
from hage_transfer.pretrain.trial_files import HAGE, TrialPredictions

AVERAGED_SUFFIX = "_averaged"
AVERAGED = HAGE + AVERAGED_SUFFIX
SHALLOW_SHARE = 0.05
"""``pcc_all_deep`` leaves out this share of a section's spots, those of fewest counts: a few may carry a score."""


@dataclass(frozen=True)
class MethodPredictions:
    """One row of a gene table: predictions of the test spots, and calibrated ones where the scale is arbitrary."""

    source: str
    trial: int | None
    raw: Float[np.ndarray, "test gene"]
    calibrated: Float[np.ndarray, "test gene"] | None = None


def averaged(source: str, trials: Sequence[TrialPredictions], data: FoldData, *, scale: bool) -> MethodPredictions:
    """The mean of the trials' raw predictions; with ``scale`` calibrated as one prediction."""
    train = np.mean([trial.train for trial in trials], axis=0)
    test = np.mean([trial.test for trial in trials], axis=0)
    return MethodPredictions(source, None, test, _calibrated(test, train, data) if scale else None)


def fold_records(
    trained: Sequence[tuple[Contender, Sequence[TrialPredictions]]],
    data: FoldData,
    *,
    baselines: Mapping[str, Float[np.ndarray, "test gene"]],
    bagged: Mapping[str, Sequence[Float[np.ndarray, "test gene"]]],
    heg_from: str,
) -> list[Record]:
    """Records of every contender (each trial, their mean score, their averaged prediction) and baseline on a fold.

    ``bagged`` baselines have a prediction for each trial, and so the rows of a contender.
    """
    records = []
    for contender, trials in trained:
        records += _contender_records(contender, trials, data, heg_from=heg_from)
    for name, predicted in baselines.items():
        records += _score(MethodPredictions(name, None, predicted), data, heg_from=heg_from)
    for name, each in bagged.items():
        single = [
            record
            for trial, predicted in enumerate(each)
            for record in _score(MethodPredictions(name, trial, predicted), data, heg_from=heg_from)
        ]
        vote = MethodPredictions(name + AVERAGED_SUFFIX, None, np.mean(each, axis=0))
        records += [*single, *over_trials(single), *_score(vote, data, heg_from=heg_from)]
    return records


def _contender_records(
    contender: Contender, trials: Sequence[TrialPredictions], data: FoldData, *, heg_from: str
) -> list[Record]:
    single = contender.method is not None and not contender.method.stochastic
    records = []
    for number, trial in enumerate(trials):
        calibrated = _calibrated(trial.test, trial.train, data) if contender.calibrated else None
        method = MethodPredictions(contender.source, None if single else number, trial.test, calibrated)
        records += _score(method, data, heg_from=heg_from)
    if single:
        return records
    records += over_trials(records)
    source = contender.source + AVERAGED_SUFFIX
    return records + _score(averaged(source, trials, data, scale=contender.calibrated), data, heg_from=heg_from)


def _calibrated(
    test: Float[np.ndarray, "test gene"], train: Float[np.ndarray, "train gene"], data: FoldData
) -> Float[np.ndarray, "test gene"]:
    return calibrate(test, train_predicted=train, train_target=data.train.target)


def _score(method: MethodPredictions, data: FoldData, *, heg_from: str) -> list[Record]:
    train_heg = highly_expressed(data.train.target.mean(0))
    by_section: dict[str, dict[str, float]] = {}
    for name in data.test.section_names:
        rows = data.test.rows_of(name)
        heg = train_heg if heg_from == "train" else highly_expressed(data.test.target[rows].mean(0))
        by_section[name] = _section_scores(method, data, rows, heg)
    return section_rows(by_section, source=method.source, fold=data.fold.name, trial=method.trial)


def _section_scores(
    method: MethodPredictions, data: FoldData, rows: Int[np.ndarray, " row"], heg: Int[np.ndarray, " gene"]
) -> dict[str, float]:
    target = data.test.target[rows]
    scores = gene_table(method.raw[rows], target, heg)
    deep = rows[data.test.counts[rows].sum(1) > np.quantile(data.test.counts[rows].sum(1), SHALLOW_SHARE)]
    if len(deep) > 1:
        scores["pcc_all_deep"] = pcc_mean(gene_pcc(method.raw[deep], data.test.target[deep]))
    if method.calibrated is not None:
        scores["mse_calibrated"] = mse(method.calibrated[rows], target)
        scores["mae_calibrated"] = mae(method.calibrated[rows], target)
    return scores
