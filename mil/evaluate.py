"""Cross-validated comparison of feature sources with AB-MIL: same folds, seeds and options for all."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from hage_transfer.atomic import write_json
from hage_transfer.data.cross_validation import compared
from hage_transfer.data.labels import LabelTable
from hage_transfer.data.splits import Fold, check_disjoint, table_folds, train_validation, write_split
from hage_transfer.jobs import Job
from hage_transfer.metrics.classification import positive_class
from hage_transfer.metrics.out_of_fold import OutOfFold
from hage_transfer.results import Results
from hage_transfer.run_all import run_all
from hage_transfer.run_directory import RunDirectory
from mil.bags import BagSet, open_bags
from mil.checkpoint import model_path
from mil.config import MilConfig, MilModelSettings, MilTrainSettings


@dataclass(frozen=True)
class MilFold:
    """Slides of one fold: training, validation inside the training side, test."""

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class MilJob:
    """What one job needs: the bags of one source and trial, one fold."""

    bags: BagSet
    labels: np.ndarray
    n_classes: int
    fold: MilFold
    model: MilModelSettings
    train: MilTrainSettings
    seed: int
    device: str
    done: Path
    model_file: Path
    source: str
    trial: int
    classes: tuple[str, ...]


def mil_folds(config: MilConfig, labels: LabelTable) -> list[MilFold]:
    """Folds of the slides, each with its validation part; the same for every source.

    Raises:
        SplitError: folds by group without groups, or folds that the labels cannot fill.
    """
    groups = labels.groups if config.split.by_group else None
    split = config.split
    folds = table_folds(labels, n_folds=split.folds, by_group=split.by_group, seed=split.seed)
    return [_with_validation(fold, number, config, labels.labels, groups) for number, fold in enumerate(folds)]


def evaluate_mil(
    config: MilConfig,
    labels: LabelTable,
    sources: Mapping[str, Sequence[Path]],
    *,
    run: RunDirectory,
    device: str = "cpu",
    n_jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Results:
    """Trains and tests every source, trial and fold, and writes ``predictions.csv`` and ``splits/`` into the run.

    Args:
        config: folds, model, optimisation, seeds.
        labels: label of each slide.
        sources: name to folders of feature files, one a trial.
        run: the run directory; ``jobs/`` in it holds what is done already.
        device: torch device of the training.
        n_jobs: jobs (source, trial, fold) at a time.
        progress: told (job, done, total) as each job ends.

    Raises:
        SplitError: as ``mil_folds``.
        DataError: feature files that are missing, unreadable or do not go together.
        ConfigError: a positive class that is none.
        ItemsFailedError: some jobs failed; where all did, InputError.
    """
    positive = positive_class(labels.classes, config.positive)
    folds = mil_folds(config, labels)
    test_rows = {fold.name: fold.test for fold in folds}
    trials = [
        (name, None if len(paths) == 1 else k, open_bags(path, labels))
        for name, paths in sources.items()
        for k, path in enumerate(paths)
    ]
    jobs = [
        _job(config, labels, fold, name, trial, bags, out=run.path, device=device)
        for name, trial, bags in trials
        for fold in folds
    ]
    run_all(jobs, run=run, n_jobs=n_jobs, progress=progress)
    predictions, epochs = _collect(jobs, trials, folds, shape=(len(labels), len(labels.classes)))
    for fold in folds:
        train, validation, test = (labels.keys[rows].tolist() for rows in (fold.train, fold.validation, fold.test))
        write_split(run.path / "splits" / f"splits_{fold.name}.csv", train=train, validation=validation, test=test)
    return compared(
        predictions,
        labels,
        task="mil",
        test_rows=test_rows,
        positive=positive,
        by_group=config.split.by_group,
        folder=run.path,
        meta={
            "tiles": {name: int(bags.n_tiles.sum()) for name, _, bags in trials},
            "features": _feature_meta(trials),
            "epochs": epochs,
        },
    )


def run_mil_job(work: MilJob) -> None:
    """Trains one fold and writes its test probabilities.

    One thread: the numbers then do not depend on how many jobs share the machine.
    """
    import torch

    from mil.checkpoint import FoldModel, save_fold_model
    from mil.train import train_abmil

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        bags = replace(work.bags)  # its own memory of features, given back when the job ends
        trained = train_abmil(
            bags,
            work.labels,
            train=work.fold.train,
            validation=work.fold.validation,
            n_classes=work.n_classes,
            model=work.model,
            options=work.train,
            seed=work.seed,
            device=work.device,
        )
        probabilities = trained.probabilities(bags, work.fold.test)
    finally:
        torch.set_num_threads(threads)
    meta = {
        "model": {"kind": "abmil", **work.model.model_dump()},
        "encoder": bags.meta.encoder,
        "encoder_sha256": bags.meta.encoder_sha256,
        "frozen_encoder": bags.meta.frozen_encoder,
        "best_epoch": trained.best_epoch,
    }
    names = {"classes": work.classes, "source": work.source, "trial": work.trial, "fold": work.fold.name}
    save_fold_model(work.model_file, FoldModel(trained.model, trained.mean, trained.std, meta=meta, **names))
    result = {"epochs": trained.epochs, "best_epoch": trained.best_epoch, "probabilities": probabilities.tolist()}
    write_json(work.done, result)


def _with_validation(
    fold: Fold, number: int, config: MilConfig, labels: np.ndarray, groups: np.ndarray | None
) -> MilFold:
    if config.train.validation == 0:
        return MilFold(fold.name, fold.train, np.array([], dtype=np.int64), fold.test)
    kept, validation = train_validation(
        labels[fold.train],
        None if groups is None else groups[fold.train],
        share=config.train.validation,
        seed=config.split.seed + number,
    )
    parts = MilFold(fold.name, fold.train[kept], fold.train[validation], fold.test)
    if groups is not None:
        check_disjoint({"train": parts.train, "validation": parts.validation, "test": parts.test}, groups)
    return parts


def _job(
    config: MilConfig,
    labels: LabelTable,
    fold: MilFold,
    name: str,
    trial: int | None,
    bags: BagSet,
    *,
    out: Path,
    device: str,
) -> Job:
    done = out / "jobs" / name / f"trial_{trial or 0}_fold_{fold.name}-{_digest(bags, labels, fold)}.json"
    work = MilJob(
        bags,
        labels.class_indices,
        len(labels.classes),
        fold,
        config.model,
        config.train,
        config.seed,
        device,
        done,
        model_path(out, source=name, trial=trial or 0, fold=fold.name),
        name,
        trial or 0,
        labels.classes,
    )
    return Job(f"{name} trial {trial or 0} fold {fold.name}", done, run_mil_job, (work,))


def _digest(bags: BagSet, labels: LabelTable, fold: MilFold) -> str:
    """Names a job's file by what went into it, so that other features, labels or folds are another file."""
    digest = hashlib.sha256(bags.sha256.encode())
    digest.update("\n".join([*labels.keys.tolist(), *labels.labels.tolist()]).encode())
    for rows in (bags.n_tiles, fold.train, fold.validation, fold.test):
        digest.update(np.asarray(rows, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


def _collect(
    jobs: Sequence[Job],
    trials: Sequence[tuple[str, int | None, BagSet]],
    folds: Sequence[MilFold],
    *,
    shape: tuple[int, int],
) -> tuple[list[OutOfFold], dict[str, list[int]]]:
    predictions, epochs, left = [], {}, iter(jobs)
    for name, trial, _ in trials:
        probabilities = np.zeros(shape, dtype=np.float32)
        run = []
        for fold in folds:
            result = json.loads(next(left).done.read_text(encoding="utf-8"))
            probabilities[fold.test] = np.array(result["probabilities"], dtype=np.float32)
            run.append(int(result["best_epoch"]) + 1)
        predictions.append(OutOfFold(name, trial, probabilities))
        epochs[name if trial is None else f"{name} trial {trial}"] = run
    return predictions, epochs


def _feature_meta(trials: Sequence[tuple[str, int | None, BagSet]]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for name, _, bags in trials:
        found.setdefault(name, []).append(
            asdict(bags.meta) | {"source": f"{len(bags)} slides", "path": str(bags.paths[0].parent)}
        )
    return found
