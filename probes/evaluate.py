"""Cross-validated comparison of feature sources with the linear probe: same folds, seeds and options for all."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hage_transfer.atomic import atomic_path
from hage_transfer.data.cross_validation import compared
from hage_transfer.data.feature_file import Features, read_features, read_meta, written
from hage_transfer.data.labels import LabelTable
from hage_transfer.data.splits import Fold, table_folds, write_split
from hage_transfer.errors import DataError
from hage_transfer.jobs import Job
from hage_transfer.metrics.classification import positive_class
from hage_transfer.metrics.out_of_fold import OutOfFold
from hage_transfer.results import Results
from hage_transfer.run_all import run_all
from hage_transfer.run_directory import RunDirectory
from probes.config import ProbeConfig, ProbeTrainSettings


@dataclass(frozen=True)
class ProbeJob:
    """What one job needs: one feature file, all folds."""

    features: Path
    keys: np.ndarray
    labels: np.ndarray
    n_classes: int
    folds: Sequence[Fold]
    train: ProbeTrainSettings
    seed: int
    device: str
    done: Path


def probe_folds(config: ProbeConfig, labels: LabelTable) -> list[Fold]:
    """Folds of the patches, the same for every source.

    Raises:
        SplitError: folds by group without groups, or folds that the labels cannot fill.
    """
    split = config.split
    return table_folds(labels, n_folds=split.folds, by_group=split.by_group, seed=split.seed)


def evaluate_probes(
    config: ProbeConfig,
    labels: LabelTable,
    sources: Mapping[str, Sequence[Path]],
    *,
    run: RunDirectory,
    device: str = "cpu",
    n_jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Results:
    """Trains and tests every source and trial, and writes ``predictions.csv`` and ``splits/`` into the run.

    Args:
        config: folds, optimisation, seeds.
        labels: label of each patch; its keys are those of every feature file.
        sources: name to feature files, one a trial.
        run: the run directory; ``jobs/`` in it holds what is done already.
        device: torch device of the products.
        n_jobs: source-trials at a time.
        progress: told (job, done, total) as each job ends.

    Raises:
        SplitError: folds by group without groups, or folds that the labels cannot fill.
        DataError: a feature file that is missing, unreadable or has other keys than the labels.
        ConfigError: a positive class that is none.
        ItemsFailedError: some source-trials failed; where all did, InputError.
    """
    positive = positive_class(labels.classes, config.positive)
    folds = probe_folds(config, labels)
    test_rows = {fold.name: fold.test for fold in folds}
    jobs: list[Job] = []
    trials = [
        (name, None if len(paths) == 1 else k, path) for name, paths in sources.items() for k, path in enumerate(paths)
    ]
    for name, trial, path in trials:
        done = run.path / "jobs" / name / f"trial_{trial or 0}-{_digest(path, labels, folds)}.npy"
        work = ProbeJob(
            path, labels.keys, labels.class_indices, len(labels.classes), folds, config.train, config.seed, device, done
        )
        jobs.append(Job(f"{name} trial {trial or 0}", done, run_probe_job, (work,)))
    run_all(jobs, run=run, n_jobs=n_jobs, progress=progress)
    predictions = [
        OutOfFold(name, trial, np.load(job.done, allow_pickle=False))
        for (name, trial, _), job in zip(trials, jobs, strict=True)
    ]
    for fold in folds:
        train, test = labels.keys[fold.train].tolist(), labels.keys[fold.test].tolist()
        write_split(run.path / "splits" / f"splits_{fold.name}.csv", train=train, validation=[], test=test)
    return compared(
        predictions,
        labels,
        task="probe",
        test_rows=test_rows,
        positive=positive,
        by_group=config.split.by_group,
        folder=run.path,
        meta={
            "features": {
                name: [asdict(read_meta(path)) | {"path": str(path)} for path in paths]
                for name, paths in sources.items()
            },
        },
    )


def run_probe_job(work: ProbeJob) -> None:
    """Trains all folds on one feature file and writes the out-of-fold probabilities.

    One thread: the numbers then do not depend on how many jobs share the machine.
    """
    import torch

    from probes.linear import train_probes

    features = align_rows(read_features(work.features), work.keys, path=work.features)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        training = np.zeros((len(work.folds), len(work.keys)), dtype=bool)
        for number, fold in enumerate(work.folds):
            training[number, fold.train] = True
        probes = train_probes(
            features,
            work.labels,
            training,
            n_classes=work.n_classes,
            seed=work.seed,
            device=work.device,
            **work.train.model_dump(),
        )
        probabilities = np.zeros((len(work.keys), work.n_classes), dtype=np.float32)
        for number, fold in enumerate(work.folds):
            probabilities[fold.test] = probes.probabilities(features, fold=number, rows=fold.test)
    finally:
        torch.set_num_threads(threads)
    with atomic_path(work.done) as temporary, temporary.open("wb") as handle:
        np.save(handle, probabilities, allow_pickle=False)


def align_rows(features: Features, keys: np.ndarray, *, path: Path) -> np.ndarray:
    """The rows of a feature file in the order of ``keys``.

    Raises:
        DataError: the file has no keys, or its keys are not exactly ``keys`` (both counts are given).
    """
    if features.keys is None:
        raise DataError(f"{path}: has no keys, so its rows cannot be matched to labels; encode the patches again")
    place = {key: row for row, key in enumerate(features.keys.tolist())}
    missing = [key for key in keys.tolist() if key not in place]
    extra = len(place) - (len(keys) - len(missing))
    twice = len(features) - len(place)
    if missing or extra or twice:
        raise DataError(
            f"{path}: its keys are not those of the labels: {len(missing)} of {len(keys)} labelled keys are missing"
            + (f" (first: {missing[0]})" if missing else "")
            + f", {extra} have no label, {twice} are there twice; encode the patches and their labels together"
        )
    if np.array_equal(features.keys, keys):
        return features.features
    return features.features[[place[key] for key in keys.tolist()]]


def _digest(path: Path, labels: LabelTable, folds: Sequence[Fold]) -> str:
    """Names a job's file by what went into it, so that other features, labels or folds are another file."""
    digest = hashlib.sha256(json.dumps(asdict(read_meta(path)), sort_keys=True).encode())
    digest.update(written(path).encode())
    digest.update("\n".join([*labels.keys.tolist(), *labels.labels.tolist()]).encode())
    for fold in folds:
        digest.update(fold.test.astype(np.int64).tobytes())
    return digest.hexdigest()[:16]
