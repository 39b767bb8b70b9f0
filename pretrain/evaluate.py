"""Scores of a fold: every method on every test section, after model selection, never pooled over sections."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.genes import GeneScores, highly_expressed, pcc_mean
from hage_transfer.compare.records import Record
from hage_transfer.errors import DataError
from hage_transfer.pretrain.calibration import calibrate, calibration_rows
from hage_transfer.pretrain.contenders import Contender
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.made_rows import Rows, column_means, in_parts, made_rows, taken
from hage_transfer.pretrain.running_pcc import RunningPcc
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
    raw: Rows
    calibrated: Rows | None = None


def averaged(source: str, trials: Sequence[TrialPredictions], data: FoldData, *, scale: bool) -> MethodPredictions:
    """The mean of the trials' raw predictions; with ``scale`` calibrated as one prediction."""
    test = mean_of([trial.test for trial in trials])
    train = mean_of([trial.train for trial in trials])
    return MethodPredictions(source, None, test, _calibrated(test, train, data) if scale else None)


def mean_of(arrays: Sequence[Rows]) -> Rows:
    """The mean of arrays of one shape, made by rows where they are large."""
    return made_rows(arrays[0].shape, lambda rows: np.mean([one[rows] for one in arrays], axis=0))


def fold_records(
    trained: Sequence[tuple[Contender, Sequence[TrialPredictions]]],
    data: FoldData,
    *,
    baselines: Mapping[str, Rows],
    bagged: Mapping[str, Sequence[Rows]],
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
        vote = MethodPredictions(name + AVERAGED_SUFFIX, None, mean_of(each))
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


def _calibrated(test: Rows, train: Rows, data: FoldData) -> Rows:
    known = taken(data.train.target, calibration_rows(data.train))
    return calibrate(test, train_predicted=train, train_target=known)


def _score(method: MethodPredictions, data: FoldData, *, heg_from: str) -> list[Record]:
    by_section: dict[str, dict[str, float]] = {}
    for name in data.test.section_names:
        rows = data.test.rows_of(name)
        mean = data.train.mean_target if heg_from == "train" else column_means(taken(data.test.target, rows))
        heg = highly_expressed(mean)
        by_section[name] = _section_scores(method, data, rows, heg)
    return section_rows(by_section, source=method.source, fold=data.fold.name, trial=method.trial)


def _section_scores(
    method: MethodPredictions, data: FoldData, rows: Int[np.ndarray, " row"], heg: Int[np.ndarray, " gene"]
) -> dict[str, float]:
    """Scores of one section in one pass over its spots, some hundreds at a time."""
    n_genes = data.test.target.shape[1]
    shallow = np.quantile(data.test.depth[rows], SHALLOW_SHARE)
    deep, rest, errors = RunningPcc(), RunningPcc(), np.zeros(4)
    for part in in_parts(rows, n_genes):
        target, raw = data.test.target[part], np.asarray(method.raw[part])
        kept = data.test.depth[part] > shallow
        for seen, chosen in ((deep, kept), (rest, ~kept)):
            seen.update(raw[chosen], target[chosen], np.zeros(chosen.sum(), dtype=np.int64))
        for place, predicted in enumerate([raw] if method.calibrated is None else [raw, method.calibrated[part]]):
            errors[2 * place : 2 * place + 2] += _errors(predicted, target)
    whole = deep.with_those_of(rest)
    if not whole.finite:
        raise DataError(f"{method.source}: its predictions hold NaN or infinity")
    pcc = _one_section(whole, n_genes)
    means = errors / (len(rows) * n_genes)
    scores = asdict(
        GeneScores(
            pcc_all=pcc_mean(pcc),
            pcc_heg50=pcc_mean(pcc, heg),
            mse=means[0],
            mae=means[1],
            n_constant_genes=int(np.isnan(pcc).sum()),
        )
    )
    if deep.by_section():
        scores["pcc_all_deep"] = pcc_mean(_one_section(deep, n_genes))
    if method.calibrated is not None:
        scores["mse_calibrated"], scores["mae_calibrated"] = means[2:]
    return {name: float(value) for name, value in scores.items()}


def _errors(predicted: Float[np.ndarray, "spot gene"], target: Float[np.ndarray, "spot gene"]) -> tuple[float, float]:
    """Sums of squared and of absolute errors."""
    error = np.asarray(predicted, np.float64) - target
    absolute = np.abs(error, out=error).ravel()
    return float(absolute @ absolute), float(absolute.sum())


def _one_section(seen: RunningPcc, n_genes: int) -> Float[np.ndarray, " gene"]:
    """PCC of each gene; NaN where a section of one spot has none."""
    found = seen.by_section()
    return found[0] if found else np.full(n_genes, np.nan)
