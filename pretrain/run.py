"""A whole pretraining run: genes of each fold, trials as jobs, scores of each fold, one results file."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Int

from hage_transfer.compare.controls import with_roles
from hage_transfer.compare.records import Record, summarise
from hage_transfer.compare.results import Results
from hage_transfer.pretrain.audit.attention_use import attention_records
from hage_transfer.pretrain.audit.notes import run_meta
from hage_transfer.pretrain.audit.retrieval import retrieval_records
from hage_transfer.pretrain.baselines import CONTROLS, ridges_of
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.contenders import Contender, contenders
from hage_transfer.pretrain.controls.about import CHEAP
from hage_transfer.pretrain.controls.encoders import write_cheap_controls
from hage_transfer.pretrain.controls.zero_shot import zero_shot_records
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.encoder_directory import add_held_out_scores, write_system_directory
from hage_transfer.pretrain.evaluate import AVERAGED_SUFFIX, fold_records
from hage_transfer.pretrain.fit import one_thread
from hage_transfer.pretrain.folds import validation_split
from hage_transfer.pretrain.inputs import FoldInputs, Inputs, fold_inputs, remove_stored
from hage_transfer.pretrain.methods.base import Method, Task
from hage_transfer.pretrain.methods.own import check_trained
from hage_transfer.pretrain.outputs import publish_encoder, write_curves, write_predictions
from hage_transfer.pretrain.ridges import BAR, RIDGES
from hage_transfer.pretrain.train import train_trial, trial_seed
from hage_transfer.pretrain.trial_files import HAGE, SHUFFLED, TrialPaths, TrialPredictions, TrialSummary, write_trained
from hage_transfer.running.atomic import write_json
from hage_transfer.running.items import run_in_turn
from hage_transfer.running.job import Engine, Job
from hage_transfer.running.process_engine import kept_workers
from hage_transfer.running.progress import Progress, stage
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.running.shards import RunPart

log = logging.getLogger(__name__)
_Trial = tuple[FoldInputs, Contender, int]


@kept_workers()
def pretrain(
    config: PretrainConfig,
    inputs: Inputs,
    run: RunDirectory,
    *,
    device: str,
    n_jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    own: Mapping[str, Method] = MappingProxyType({}),
    progress: Progress | None = None,
) -> Results:
    """Trains folds x trials, evaluates each fold once, and writes results, predictions and encoder directories.

    Args:
        config: the resolved config.
        inputs: from ``read_inputs`` of the same config.
        run: the run directory; what an earlier, interrupted run finished on the same inputs is kept.
        device: torch device of the trials.
        n_jobs: jobs at a time.
        engine: where jobs run, ``processes`` of this machine or a ``ray`` cluster.
        address: of a Ray cluster that is there already.
        own: systems of the user's, by their names in the config.
        progress: told of each job that ends: trials, then folds' scores.

    Raises:
        InputError: the data or the config is wrong.
        ItemsFailedError: some jobs failed; they are in ``failures.csv`` and the others' work is kept.
    """
    folds, entrants = _folds(inputs, config, run.path), contenders(config, own)
    lists = job_lists(config, folds, entrants, run.path, device=device)
    run_in_turn(lists, run.path, n_jobs=n_jobs, engine=engine, address=address, progress=progress)
    stage(progress, "tables and encoders")
    summaries = {
        (fold.fold.name, contender.source, trial): TrialSummary.load(
            _trial_paths(run.path, fold, contender, trial).predictions
        )
        for fold in folds
        for contender in entrants
        for trial in range(contender.trials)
    }
    write_curves(run.path / "curves.csv", summaries)
    results = _collect(run, inputs, folds, config, entrants)
    if HAGE in config.methods:
        add_held_out_scores(run.path, results, trials=config.trials)
        publish_encoder(run.path, summaries)
    remove_stored(run.path)
    return results


def job_lists(
    config: PretrainConfig, folds: Sequence[FoldInputs], entrants: Sequence[Contender], run: Path, *, device: str
) -> list[list[Job]]:
    """The jobs of a run in lists that wait for each other: trials, shuffled twins, folds' scores, cheap controls."""
    trials, after = (
        [_trial_job(run, one, device) for one in _trials(folds, entrants) if one[1].shuffled is shuffled]
        for shuffled in (False, True)
    )
    scores = [
        Job(
            f"{fold.fold.name} scores",
            _scores_path(run, fold, config),
            _run_scores,
            (fold, config, run, entrants),
        )
        for fold in folds
    ]
    controls = [
        Job(f"{fold.fold.name} controls", _controls_path(run, fold), _run_controls, (fold, config, run))
        for fold in folds
        if HAGE in config.methods and config.controls != "none"
    ]
    return [trials, after, scores, controls]


def pretrain_part(
    config: PretrainConfig,
    inputs: Inputs,
    part: RunPart,
    *,
    device: str,
    n_jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    own: Mapping[str, Method] = MappingProxyType({}),
    progress: Progress | None = None,
) -> None:
    """A part of the trials; arguments and errors as ``pretrain``, which scores the folds when all parts are done.

    Trials are dealt system by system, so that each part has its share of the long ones. Where HAGE is trained on
    shuffled expression too, the part that has a trial of HAGE trains its shuffled twin, which needs its epochs.
    """
    path = part.run.path
    folds, entrants = _folds(inputs, config, path), contenders(config, own)
    listed = sorted(_trials(folds, entrants), key=lambda one: entrants.index(one[1]))
    mine = part.shard.part([one for one in listed if not one[1].shuffled])
    leaders = [(fold.fold.name, trial) for fold, contender, trial in mine if contender.source == HAGE]
    twins = [one for one in listed if one[1].shuffled and (one[0].fold.name, one[2]) in leaders]
    for ones in (mine, twins):
        jobs = [_trial_job(path, one, device) for one in ones]
        part.do(jobs, n_jobs=n_jobs, engine=engine, address=address, progress=progress)
    part.n_left = sum(not _trial_job(path, one, device).is_done for one in listed)


def _folds(inputs: Inputs, config: PretrainConfig, run: Path) -> list[FoldInputs]:
    folds = [fold_inputs(inputs, fold, config, run=run) for fold in inputs.folds]
    for fold in folds:
        _forget_other_inputs(run, fold)
    return folds


def _trials(folds: Sequence[FoldInputs], entrants: Sequence[Contender]) -> list[_Trial]:
    return [(fold, one, trial) for fold in folds for one in entrants for trial in range(one.trials)]


def _trial_job(run: Path, one: _Trial, device: str) -> Job:
    fold, contender, trial = one
    return Job(
        f"{fold.fold.name} {contender.source} trial {trial}",
        _trial_paths(run, fold, contender, trial).predictions,
        _run_trial,
        (fold, contender, run, trial, device),
        gpus=1 if device.startswith("cuda") else 0,
    )


def _forget_other_inputs(run: Path, inputs: FoldInputs) -> None:
    """Removes jobs of the fold that were done on other inputs: what they left beside their files is replaced now."""
    for path in sorted((run / "jobs" / inputs.fold.name).rglob("*-*.*")):
        if inputs.sha256[:12] not in path.name:
            log.info("%s was made from other inputs and is done anew", path.relative_to(run))
            path.unlink()


def _trial_paths(run: Path, inputs: FoldInputs, contender: Contender, trial: int) -> TrialPaths:
    system, source = contender.method is not None, contender.source
    return TrialPaths.of(run, inputs.fold.name, trial, sha256=inputs.sha256, source=source, system=system)


def _run_trial(inputs: FoldInputs, contender: Contender, run: Path, trial: int, device: str) -> None:
    config, paths = contender.config, _trial_paths(run, inputs, contender, trial)
    if contender.method is None:
        epochs = None
        if contender.shuffled:
            own = TrialPaths.of(run, inputs.fold.name, trial, sha256=inputs.sha256)
            epochs = TrialSummary.load(own.predictions).best_epoch + 1
        train_trial(inputs, config, trial, paths, device, shuffled_epochs=epochs)
        return
    data = inputs.data(config.preset)
    seed, rows, validation_rows = _trial_rows(data, config, trial)
    task = Task(
        data=data,
        rows=rows,
        validation_rows=validation_rows,
        config=config,
        seed=seed,
        device=device,
        tensorboard=paths.tensorboard,
    )
    trained = check_trained(contender.method.fit(task), data, contender.method)
    if trained.encoder is not None:
        write_system_directory(paths.encoder, trained, contender.method, data, config, trial=trial)
    write_trained(paths.predictions, trained, data)


def _trial_rows(
    data: FoldData, config: PretrainConfig, trial: int
) -> tuple[int, Int[np.ndarray, " train"], Int[np.ndarray, " val"]]:
    """Seed of a trial, the training spots that it trains on, and those it keeps for validation."""
    seed = trial_seed(config.seed, data.fold.name, trial)
    return seed, *validation_split(data.train.section, config.split, seed=seed)


@one_thread()
def _run_scores(inputs: FoldInputs, config: PretrainConfig, run: Path, entrants: Sequence[Contender]) -> None:
    data = inputs.data(config.preset)
    files = {
        one.source: [_trial_paths(run, inputs, one, trial).predictions for trial in range(one.trials)]
        for one in entrants
    }
    trained = [(one, [TrialPredictions.load(path) for path in files[one.source]]) for one in entrants]
    draws = [_trial_rows(data, config, trial)[1] for trial in range(config.trials)]
    tuned, alpha_scores, bagged = ridges_of(data.train, data.test, unit=config.split.unit, draws=draws)
    baselines = {
        **{name: one.test for name, one in tuned.items()},
        **{name: control(data.train, data.test) for name, control in CONTROLS.items()},
    }
    records = fold_records(trained, data, baselines=baselines, bagged=bagged, heg_from=config.heg_from)
    for contender, trials in trained:
        if contender.method is None:
            own, fold = files[contender.source], inputs.fold.name
            records += retrieval_records(own, fold=fold, source=contender.source)
            records += attention_records(own, fold=fold, source=contender.source)
            records += zero_shot_records(own, data, prefix="" if contender.source == HAGE else f"{contender.source}_")
        if contender.source == HAGE:
            write_predictions(run / "predictions" / f"{inputs.fold.name}.h5ad", data, trials)
    write_json(
        _scores_path(run, inputs, config),
        {
            "records": [asdict(record) for record in records],
            "ridge_alpha": tuned["ridge"].chosen["alpha"],
            "ridge_scores": {f"{alpha:g}": score for alpha, score in alpha_scores.items()},
            "tuned": {name: tuned[name].chosen | {"inner_pcc": tuned[name].score} for name in RIDGES},
            "validation_pcc": {
                contender.source: [trial.summary.validation_pcc for trial in trials] for contender, trials in trained
            },
        },
    )


def _scores_path(run: Path, inputs: FoldInputs, config: PretrainConfig) -> Path:
    name = "scores_with_shuffled" if config.controls == "all" else "scores"
    return run / "jobs" / inputs.fold.name / f"{name}-{inputs.sha256[:12]}.json"


@one_thread()
def _run_controls(inputs: FoldInputs, config: PretrainConfig, run: Path) -> None:
    chosen = _read_scores(run, inputs, config)["tuned"][BAR]
    data = inputs.data(config.preset)
    write_cheap_controls(run, data, config, alpha=chosen["alpha"], rank=chosen["rank"])
    write_json(_controls_path(run, inputs), {"made": list(CHEAP)})


def _controls_path(run: Path, inputs: FoldInputs) -> Path:
    return run / "jobs" / inputs.fold.name / f"controls-{inputs.sha256[:12]}.json"


def _read_scores(run: Path, inputs: FoldInputs, config: PretrainConfig) -> dict[str, Any]:
    return dict(json.loads(_scores_path(run, inputs, config).read_text(encoding="utf-8")))


def _collect(
    run: RunDirectory,
    inputs: Inputs,
    folds: Sequence[FoldInputs],
    config: PretrainConfig,
    entrants: Sequence[Contender],
) -> Results:
    scores = {fold.fold.name: _read_scores(run.path, fold, config) for fold in folds}
    records = [Record(**record) for score in scores.values() for record in score["records"]]
    records = with_roles(records, {SHUFFLED, SHUFFLED + AVERAGED_SUFFIX})
    records += summarise(records)
    results = Results(records, run_meta(run.path, records, scores, inputs, folds, config, entrants))
    results.save(run.results_path)
    return results
