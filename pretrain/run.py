"""A whole pretraining run: genes of each fold, trials as jobs, scores of each fold, one results file."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from hage_transfer.atomic import TEMPORARY_MARK, atomic_path, write_csv, write_json
from hage_transfer.jobs import Job
from hage_transfer.results import Record, Results, summarise
from hage_transfer.run_all import run_all
from hage_transfer.run_directory import RunDirectory
from pretrain.audit import run_meta
from pretrain.baselines import choose_alpha
from pretrain.config import PretrainConfig
from pretrain.dataset import FoldData
from pretrain.evaluate import TrialPredictions, averaged, fold_records
from pretrain.inputs import FoldInputs, Inputs, fold_inputs
from pretrain.train import TrialPaths, train_trial

log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]


def pretrain(
    config: PretrainConfig,
    inputs: Inputs,
    run: RunDirectory,
    *,
    device: str,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> Results:
    """Trains folds x trials, evaluates each fold once, and writes results, predictions and encoder directories.

    Args:
        config: the resolved config.
        inputs: from ``read_inputs`` of the same config.
        run: the run directory; what an earlier, interrupted run finished on the same inputs is kept.
        device: torch device of the trials.
        n_jobs: processes.
        progress: called with (name, done, total) as each job ends.

    Raises:
        InputError: the data or the config is wrong.
        ItemsFailedError: some jobs failed; they are in ``failures.csv`` and the others' work is kept.
    """
    folds = [fold_inputs(inputs, fold, config, folder=run.path / "folds" / fold.name) for fold in inputs.folds]
    trials = [
        Job(
            f"{fold.fold.name} trial {trial}",
            _trial_paths(run.path, fold, trial).predictions,
            _run_trial,
            (fold, config, run.path, trial, device),
        )
        for fold in folds
        for trial in range(config.trials)
    ]
    scores = [
        Job(f"{fold.fold.name} scores", _scores_path(run.path, fold), _run_scores, (fold, config, run.path))
        for fold in folds
    ]
    for jobs in (trials, scores):
        run_all(jobs, run=run, n_jobs=n_jobs, progress=progress)
    predictions = {
        (fold.fold.name, trial): TrialPredictions.load(_trial_paths(run.path, fold, trial).predictions)
        for fold in folds
        for trial in range(config.trials)
    }
    _write_curves(run.path, predictions)
    _publish_encoder(run.path, predictions)
    return _collect(run, inputs, folds, config)


def _trial_paths(run: Path, inputs: FoldInputs, trial: int) -> TrialPaths:
    return TrialPaths.of(run, inputs.fold.name, trial, sha256=inputs.sha256)


def _run_trial(inputs: FoldInputs, config: PretrainConfig, run: Path, trial: int, device: str) -> None:
    train_trial(inputs.data(config.preset), config, trial, _trial_paths(run, inputs, trial), device)


def _run_scores(inputs: FoldInputs, config: PretrainConfig, run: Path) -> None:
    data = inputs.data(config.preset)
    trials = [TrialPredictions.load(_trial_paths(run, inputs, trial).predictions) for trial in range(config.trials)]
    alpha, alpha_scores = choose_alpha(data.train, unit=config.split.unit)
    records = fold_records(trials, data, heg_from=config.heg_from, ridge_alpha=alpha)
    _write_predictions(run / "predictions" / f"{inputs.fold.name}.h5ad", inputs, data, trials)
    write_json(
        _scores_path(run, inputs),
        {
            "records": [asdict(record) for record in records],
            "ridge_alpha": alpha,
            "ridge_scores": {f"{key:g}": value for key, value in alpha_scores.items()},
            "validation_pcc": [trial.validation_pcc for trial in trials],
        },
    )


def _write_predictions(path: Path, inputs: FoldInputs, data: FoldData, trials: Sequence[TrialPredictions]) -> None:
    """Out-of-fold predictions that scanpy opens: X is the averaged trials' calibrated prediction."""
    prediction = averaged(trials, data)
    tests = [inputs.sections[name] for name in inputs.fold.test]
    names = np.repeat(data.test.section_names, [section.n_obs for section in tests])
    obs = pd.DataFrame(
        {"section": pd.Categorical(names), "fold": pd.Categorical([inputs.fold.name] * len(names))},
        index=[f"{s}:{n}" for s, n in zip(names, data.test.spot_names, strict=True)],
    )
    result = AnnData(
        X=np.asarray(prediction.calibrated, dtype=np.float32),
        obs=obs,
        var=pd.DataFrame(index=list(data.genes)),
        layers={"raw": np.asarray(prediction.raw, dtype=np.float32), "target": data.test.target},
        obsm={"spatial": np.concatenate([section.obsm["spatial"] for section in tests])},
    )
    with atomic_path(path) as temporary:
        result.write_h5ad(temporary)


def _scores_path(run: Path, inputs: FoldInputs) -> Path:
    return run / "jobs" / inputs.fold.name / f"scores-{inputs.sha256[:12]}.json"


def _write_curves(run: Path, predictions: Mapping[tuple[str, int], TrialPredictions]) -> None:
    rows = [
        {"fold": fold, "trial": trial, "epoch": epoch, "term": term, "value": value}
        for (fold, trial), trained in predictions.items()
        for epoch, term, value in trained.curves
    ]
    write_csv(run / "curves.csv", ["fold", "trial", "epoch", "term", "value"], rows)


def _publish_encoder(run: Path, predictions: Mapping[tuple[str, int], TrialPredictions]) -> None:
    """Copies the encoder directory of the best validation PCC (never a test score) to ``encoder/``."""
    fold, trial = max(predictions, key=lambda key: predictions[key].validation_pcc)
    temporary, final = run / f"{TEMPORARY_MARK}encoder", run / "encoder"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(run / "encoders" / fold / f"trial_{trial}", temporary)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    log.info("encoder/ is %s trial %d (best validation PCC)", fold, trial)


def _collect(run: RunDirectory, inputs: Inputs, folds: Sequence[FoldInputs], config: PretrainConfig) -> Results:
    scores: dict[str, dict[str, Any]] = {
        fold.fold.name: json.loads(_scores_path(run.path, fold).read_text(encoding="utf-8")) for fold in folds
    }
    records = [Record(**record) for score in scores.values() for record in score["records"]]
    records += summarise(records)
    results = Results(records, run_meta(run.path, records, scores, inputs, folds, config))
    results.save(run.results_path)
    return results
