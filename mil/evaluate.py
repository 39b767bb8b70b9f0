"""Cross-validated comparison of feature sources with a bag classifier: same folds, seeds and options for all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from hage_transfer.compare.cross_validation import compared
from hage_transfer.compare.null import META as NULL
from hage_transfer.compare.null import baseline_trials, with_null
from hage_transfer.compare.null_copies import COPY, write_copies
from hage_transfer.compare.out_of_fold import OutOfFold
from hage_transfer.compare.results import Results
from hage_transfer.compare.splits import write_split
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.compare.value_scoring import ValueScoring
from hage_transfer.data.image_set import META as IMAGE_SET
from hage_transfer.data.image_set import image_set_sha256
from hage_transfer.errors import some
from hage_transfer.mil.bags import BagSet
from hage_transfer.mil.final import final_cost, final_jobs
from hage_transfer.mil.folds import MilFold, shared_groups
from hage_transfer.mil.jobs import (
    FoldResult,
    MilJob,
    read_job,
    redo_without_models,
    remove_others,
    run_mil_job,
    work_sha256,
)
from hage_transfer.mil.own_class import MakeClassifier, check_own
from hage_transfer.mil.plan import MilPlan
from hage_transfer.running.items import Items
from hage_transfer.running.job import Job
from hage_transfer.running.process_engine import kept_workers
from hage_transfer.running.progress import Progress, stage
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.running.shards import RunPart

_CLASSIFIER_EPOCHS = 1.5
"""What a source's classifier directory takes, which reads all bags once, in epochs of a trial; measured on 60 bags."""
Trial = tuple[str, int | None, BagSet]


@kept_workers()
def evaluate_mil(
    plan: MilPlan,
    sources: Mapping[str, Sequence[tuple[Path, ...]]],
    *,
    run: RunDirectory,
    device: str = "cpu",
    n_jobs: int = 1,
    own: MakeClassifier | None = None,
    progress: Progress | None = None,
) -> Results:
    """Trains and tests every source, trial and fold; models, predictions, ``splits/`` and results go into the run.

    Args:
        plan: what is trained on what, checked.
        sources: name to trials, each the folders of feature files whose columns stand side by side.
        run: the run directory; ``jobs/`` in it holds what is done already.
        device: torch device of the training.
        n_jobs: jobs (source, trial) at a time.
        own: a bag classifier of the user's own, where `model.kind` is one (see ``bag_classifier``).
        progress: told of each job that ends.

    Raises:
        DataError: feature files that are missing, unreadable or do not go together.
        ConfigError: a class of the user's own that is missing.
        ItemsFailedError: some jobs failed; where all did, the first error.
    """
    config, labels, folds, positive = plan.config, plan.labels, plan.folds, plan.positive
    trials, jobs = _jobs(plan, sources, run=run, device=device, own=own)
    finals = config.train.final * len(jobs)
    items = Items(run.path, what="jobs", total=len(jobs) + finals, progress=progress)
    soonest = min(config.train.min_epochs + config.train.patience, config.train.epochs)
    after = len(sources) * _CLASSIFIER_EPOCHS / max(soonest, 1)
    items.run(jobs, n_jobs=n_jobs, later=after + math.ceil(finals / n_jobs) * final_cost(folds))
    found = [read_job(job.made) for job in jobs if not items.failures]
    if finals and found:
        items.run(final_jobs(jobs, found), n_jobs=n_jobs, later=after)
    items.finish()
    stage(progress, "tables, intervals and tests")
    for fold in folds:
        train, validation, test = (labels.keys[rows].tolist() for rows in (fold.train, fold.validation, fold.test))
        write_split(run.path / "splits" / f"splits_{fold.name}.csv", train=train, validation=validation, test=test)
    tested = TestedRows.of(labels, folds)
    shared = shared_groups(folds, labels) if config.split.mode == "files" else []
    remove_others(run.path, jobs=[(name, number or 0) for name, number, _ in trials], folds=[f.name for f in folds])
    predictions = [
        OutOfFold(
            name,
            trial,
            tested.gather({fold: one.probabilities for fold, one in result.items()}, plan.n_scores),
        )
        for (name, trial, _), result in zip(trials, found, strict=True)
    ]
    results = compared(
        predictions,
        tested,
        task="mil",
        positive=positive,
        by_group=config.split.by_group and not shared,
        folder=run.path,
        meta={
            "split": config.split.mode,
            IMAGE_SET: image_set_sha256(config.data),
            "tiles": {name: int(bags.n_tiles.sum()) for name, _, bags in trials},
            "features": _feature_meta(trials),
            "quoted": config.quoted,
            "repeats": config.train.repeats,
            "model": config.model.sizes(positive=positive),
            "epochs": _epochs(trials, found, folds),
            "tests_per_slide": len(tested.labels) / tested.sizes.distinct if tested.overlap else 1,
            "warnings": _shared_warnings(shared),
        },
        values=None
        if plan.target is None
        else ValueScoring(
            plan.target, tested, {fold.name: np.concatenate([fold.train, fold.validation]) for fold in folds}
        ),
    )
    if config.null:
        plain, files, inside = _copies(plan, sources, run)
        of_copies = evaluate_mil(plain, files, run=inside, device=device, n_jobs=n_jobs, progress=progress)
        results = with_null(results, of_copies)
    results.save(run.results_path)
    return results


def evaluate_mil_part(
    plan: MilPlan,
    sources: Mapping[str, Sequence[tuple[Path, ...]]],
    *,
    part: RunPart,
    device: str = "cpu",
    n_jobs: int = 1,
    own: MakeClassifier | None = None,
    progress: Progress | None = None,
) -> None:
    """Trains a part of what ``evaluate_mil`` trains; that gathers it. Arguments and errors as there."""
    mine = part.shard.part(_jobs(plan, sources, run=part.run, device=device, own=own)[1])
    copies: list[Job] = []
    if plan.config.null:
        plain, files, inside = _copies(plan, sources, part.run)
        copies = part.shard.part(_jobs(plain, files, run=inside, device=device, own=own)[1])
    part.do([*mine, *copies], n_jobs=n_jobs, progress=progress)
    if plan.config.train.final:
        finals = final_jobs(mine, [read_job(job.made) for job in mine])
        part.do(finals, n_jobs=n_jobs, progress=progress)


def _jobs(
    plan: MilPlan,
    sources: Mapping[str, Sequence[tuple[Path, ...]]],
    *,
    run: RunDirectory,
    device: str,
    own: MakeClassifier | None,
) -> tuple[list[Trial], list[Job]]:
    """Every source and trial, and the job of each."""
    check_own(plan.config.model.kind, own)
    opened = plan.open(list(dict.fromkeys(folders for trials_of in sources.values() for folders in trials_of)))
    trials: list[Trial] = [
        (name, None if len(paths) == 1 else k, opened[folders])
        for name, paths in sources.items()
        for k, folders in enumerate(paths)
    ]
    jobs = [_job(plan, trial, out=run.path, device=device, own=own) for trial in trials]
    folds = [fold.name for fold in plan.folds]
    for job, (name, number, _) in zip(jobs, trials, strict=True):
        redo_without_models(job.made, run.path, source=name, trial=number or 0, folds=folds)
    return trials, jobs


def _copies(
    plan: MilPlan, sources: Mapping[str, Sequence[tuple[Path, ...]]], run: RunDirectory
) -> tuple[MilPlan, dict[str, list[tuple[Path, ...]]], RunDirectory]:
    """Copies of a source that carry the same information, each with a seed of its own, as a comparison by itself."""
    config = plan.config
    plain, stamped = (
        config.model_copy(
            update={"null": 0, "train": config.train.model_copy(update={"repeats": repeats, "final": False})}
        )
        for repeats in (config.null, 2)
    )
    baseline = baseline_trials(sources)[0]
    bags = plan.open([baseline])[baseline]
    paths = (bags.parts or (bags,))[0].paths
    written = write_copies(paths, run.path / NULL, copies=config.null, seed=config.seed)
    inside = RunDirectory.open(run.path / NULL / "run", stamped)  # of any number: more copies keep those there are
    return replace(plan, config=plain), {COPY: [(files[0].parent,) for files in written]}, inside


def _job(plan: MilPlan, trial: Trial, *, out: Path, device: str, own: MakeClassifier | None) -> Job:
    name, number, bags = trial
    config, labels, folds = plan.config, plan.labels, plan.folds
    done = out / "jobs" / name / f"trial_{number or 0}-{work_sha256(bags, labels, folds, own, plan.target)}.json"
    seed = config.seed + (number or 0 if config.train.repeats > 1 else 0)
    work = MilJob(
        source=name,
        trial=number or 0,
        bags=bags,
        labels=labels,
        folds=folds,
        config=config,
        seed=seed,
        positive=plan.positive,
        device=device,
        out=out,
        done=done,
        own=own,
        target=plan.target,
    )
    return Job(f"{name} trial {number or 0}", done, run_mil_job, (work,))


def _shared_warnings(shared: Sequence[str]) -> list[str]:
    if not shared:
        return []
    return [
        f"{len(shared)} groups (patients) are trained on and tested in the same fold, as published: {some(shared, 3)}"
    ]


def _epochs(
    trials: Sequence[Trial], found: Sequence[Mapping[str, FoldResult]], folds: Sequence[MilFold]
) -> dict[str, list[int]]:
    return {
        name if trial is None else f"{name} trial {trial}": [result[fold.name].best_epoch + 1 for fold in folds]
        for (name, trial, _), result in zip(trials, found, strict=True)
    }


def _feature_meta(trials: Sequence[Trial]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for name, _, bags in trials:
        for part in bags.parts or (bags,):
            one = asdict(part.meta) | {"source": f"{len(part)} slides", "path": str(part.paths[0].parent)}
            if one not in found.setdefault(name, []):  # a source that is trained again has the same files
                found[name].append(one)
    return found
