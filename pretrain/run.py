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
from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.sections import read_sections
from hage_transfer.jobs import Job
from hage_transfer.results import Record, Results, summarise
from hage_transfer.run_all import run_all
from hage_transfer.run_directory import RunDirectory
from pretrain.audit import run_meta
from pretrain.baselines import choose_alpha
from pretrain.config import PretrainConfig
from pretrain.dataset import FoldData, attach_features, make_fold_data
from pretrain.evaluate import TrialPredictions, averaged, fold_records
from pretrain.folds import Fold, leave_out_folds
from pretrain.genes import FoldGenes, fold_genes
from pretrain.train import TrialPaths, train_trial

log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]


def pretrain(
    config: PretrainConfig, run: RunDirectory, *, device: str, n_jobs: int = 1, progress: Progress | None = None
) -> Results:
    """Trains folds x trials, evaluates each fold once, and writes results, predictions and encoder directories.

    Args:
        config: the resolved config.
        run: the run directory; what an earlier, interrupted run finished is kept.
        device: torch device of the trials.
        n_jobs: processes.
        progress: called with (name, done, total) as each job ends.

    Raises:
        InputError: the data or the config is wrong.
        ItemsFailedError: some jobs failed; they are in ``failures.csv`` and the others' work is kept.
    """
    sections = {section.uns["section"]["name"]: section for section in read_sections(config.data)}
    metas = attach_features(list(sections.values()), config.features)
    folds = leave_out_folds({name: sections[name].uns["section"]["patient"] for name in metas}, config.split)
    genes = {
        fold.name: fold_genes(
            _gene_sections(sections, fold, config),
            config.genes,
            seed=config.seed,
            folder=run.path / "folds" / fold.name,
        )
        for fold in folds
    }
    inputs = {
        fold.name: _FoldInputs({n: sections[n] for n in (*fold.train, *fold.test)}, fold, genes[fold.name], metas)
        for fold in folds
    }
    trials = [
        Job(
            f"{fold.name} trial {trial}",
            TrialPaths.of(run.path, fold.name, trial).predictions,
            _run_trial,
            (inputs[fold.name], config, run.path, trial, device),
        )
        for fold in folds
        for trial in range(config.trials)
    ]
    scores = [
        Job(
            f"{fold.name} scores", _scores_path(run.path, fold.name), _run_scores, (inputs[fold.name], config, run.path)
        )
        for fold in folds
    ]
    for jobs in (trials, scores):
        run_all(jobs, run=run, n_jobs=n_jobs, progress=progress)
    _write_curves(run.path, folds, config)
    _publish_encoder(run.path, folds, config)
    return _collect(run, folds, genes, metas, config)


class _FoldInputs:
    """What the jobs of one fold are given; arrays are made from it inside the job."""

    def __init__(
        self, sections: Mapping[str, AnnData], fold: Fold, genes: FoldGenes, metas: Mapping[str, FeatureMeta]
    ) -> None:
        self.sections, self.fold, self.genes, self.meta = sections, fold, genes, metas[fold.train[0]]

    def data(self, preset: str) -> FoldData:
        return make_fold_data(
            self.sections,
            self.fold,
            genes=self.genes.symbols,
            gene_vectors=self.genes.vectors,
            gene_source=self.genes.source,
            preset=preset,
            feature_meta=self.meta,
        )


def _gene_sections(sections: Mapping[str, AnnData], fold: Fold, config: PretrainConfig) -> list[AnnData]:
    """Training sections, and those without an image that no rule holds out: they serve panel and co-expression."""
    unit = "patient" if config.split.unit == "patient" else "name"
    chosen = [
        section
        for name, section in sections.items()
        if name in fold.train
        or (
            config.split.train is None
            and not section.uns["section"]["image_path"]
            and section.uns["section"][unit] != fold.name
        )
    ]
    without_image = len(chosen) - len(fold.train)
    if without_image:
        log.info("%s: %d sections without image serve panel and co-expression only", fold.name, without_image)
    return chosen


def _run_trial(inputs: _FoldInputs, config: PretrainConfig, run: Path, trial: int, device: str) -> None:
    train_trial(inputs.data(config.preset), config, trial, TrialPaths.of(run, inputs.fold.name, trial), device)


def _run_scores(inputs: _FoldInputs, config: PretrainConfig, run: Path) -> None:
    data = inputs.data(config.preset)
    fold = inputs.fold.name
    trials = [TrialPredictions.load(TrialPaths.of(run, fold, trial).predictions) for trial in range(config.trials)]
    records = fold_records(trials, data, heg_from=config.heg_from)
    _write_predictions(run / "predictions" / f"{fold}.h5ad", inputs, data, trials)
    alpha, alpha_scores = choose_alpha(data.train)
    write_json(
        _scores_path(run, fold),
        {
            "records": [asdict(record) for record in records],
            "ridge_alpha": alpha,
            "ridge_scores": {f"{key:g}": value for key, value in alpha_scores.items()},
            "validation_pcc": [trial.validation_pcc for trial in trials],
        },
    )


def _write_predictions(path: Path, inputs: _FoldInputs, data: FoldData, trials: Sequence[TrialPredictions]) -> None:
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


def _scores_path(run: Path, fold: str) -> Path:
    return run / "jobs" / fold / "scores.json"


def _write_curves(run: Path, folds: Sequence[Fold], config: PretrainConfig) -> None:
    rows = [
        {"fold": fold.name, "trial": trial, "epoch": epoch, "term": term, "value": value}
        for fold in folds
        for trial in range(config.trials)
        for epoch, term, value in TrialPredictions.load(TrialPaths.of(run, fold.name, trial).predictions).curves
    ]
    write_csv(run / "curves.csv", ["fold", "trial", "epoch", "term", "value"], rows)


def _publish_encoder(run: Path, folds: Sequence[Fold], config: PretrainConfig) -> None:
    """Copies the encoder directory of the best validation PCC (never a test score) to ``encoder/``."""
    candidates = {
        (fold.name, trial): TrialPredictions.load(TrialPaths.of(run, fold.name, trial).predictions).validation_pcc
        for fold in folds
        for trial in range(config.trials)
    }
    fold_name, trial = max(candidates, key=lambda key: candidates[key])
    temporary, final = run / f"{TEMPORARY_MARK}encoder", run / "encoder"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(TrialPaths.of(run, fold_name, trial).encoder, temporary)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    log.info("encoder/ is %s trial %d (best validation PCC)", fold_name, trial)


def _collect(
    run: RunDirectory,
    folds: Sequence[Fold],
    genes: Mapping[str, FoldGenes],
    metas: Mapping[str, FeatureMeta],
    config: PretrainConfig,
) -> Results:
    scores: dict[str, dict[str, Any]] = {
        fold.name: json.loads(_scores_path(run.path, fold.name).read_text(encoding="utf-8")) for fold in folds
    }
    records = [Record(**record) for score in scores.values() for record in score["records"]]
    records += summarise(records)
    results = Results(records, run_meta(run.path, records, scores, folds, genes, metas, config))
    results.save(run.results_path)
    return results
