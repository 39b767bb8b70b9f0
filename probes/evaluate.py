"""Cross-validated comparison of feature sources with probes: same folds, draws, seeds and options for all."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from hage_transfer.compare.classification import classification_metrics
from hage_transfer.compare.cross_validation import compared
from hage_transfer.compare.null import META as NULL
from hage_transfer.compare.null import baseline_trials, with_null
from hage_transfer.compare.null_copies import COPY, write_copies
from hage_transfer.compare.out_of_fold import OutOfFold, classification_records, scored_records
from hage_transfer.compare.records import FINAL, Record
from hage_transfer.compare.results import Results
from hage_transfer.compare.splits import write_split
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.data.feature_file import read_meta
from hage_transfer.data.image_set import META as IMAGE_SET
from hage_transfer.data.image_set import image_set_sha256
from hage_transfer.data.labels import LabelTable
from hage_transfer.probes.config import CrossCheckSettings, LearningCurveSettings, ProbeConfig
from hage_transfer.probes.folds import ProbeFold, masks
from hage_transfer.probes.jobs import (
    LINEAR,
    ProbeJob,
    probes_path,
    read_job,
    redo_without_models,
    run_probe_job,
    work_sha256,
)
from hage_transfer.probes.label_draws import ALL, LabelDraw, draw_masks, label_draws
from hage_transfer.probes.more_tables import cross_check_table, curve_table, write_table
from hage_transfer.probes.plan import ProbePlan
from hage_transfer.running.items import run_items
from hage_transfer.running.job import Job
from hage_transfer.running.progress import Progress, stage
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.running.shards import RunPart

Trials = Sequence[tuple[Path, ...]]


@dataclass(frozen=True)
class _Heads:
    """What every source's heads train on and are tested on: all labels first, then the draws of few."""

    draws: Sequence[LabelDraw]
    training: Bool[np.ndarray, "head row"]
    wanted: Bool[np.ndarray, "head row"]
    variants: tuple[int, ...]

    @property
    def names(self) -> list[tuple[str, int]]:
        """Amount and number of every draw of labels; all labels first."""
        return list(dict.fromkeys((draw.amount, draw.number) for draw in self.draws))

    def gather(
        self, found: Float[np.ndarray, "variant row class"], folds: Sequence[ProbeFold], tested: TestedRows
    ) -> Float[np.ndarray, "draw tested class"]:
        """What a job found, a table for each of ``names``; where repeats test rows again, of the rows as tested."""
        variants = {
            (draw.amount, draw.number, draw.fold): variant
            for draw, variant in zip(self.draws, self.variants, strict=True)
        }
        if not tested.overlap:
            return found
        tables = [
            tested.gather({f.name: found[variants[*name, k], f.test] for k, f in enumerate(folds)}, found.shape[2])
            for name in self.names
            if variants[*name, 0] < len(found)  # a cross-check has all labels alone
        ]
        return np.stack(tables)


def evaluate_probes(
    plan: ProbePlan,
    sources: Mapping[str, Trials],
    *,
    run: RunDirectory,
    device: str = "cpu",
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> Results:
    """Trains and tests every source and trial; tables, predictions, ``splits/`` and results go into the run.

    The records are those of the paper's probe with all labels; cross-checks and learning curves are in the results'
    meta and in ``cross_checks.csv``, ``learning_curve.csv``.

    Args:
        plan: what is trained on what, checked.
        sources: name to trials, each the feature files whose columns stand side by side.
        run: the run directory; ``jobs/`` in it holds what is done already.
        device: torch device of the products.
        n_jobs: at a time: one classifier on one source and trial each.
        progress: told of each job that ends.

    Raises:
        DataError: a feature file that is missing, unreadable or has other keys than the labels.
        ItemsFailedError: some jobs failed; where all did, the first error.
    """
    config, labels, folds, positive = plan.config, plan.labels, plan.folds, plan.positive
    heads, classifiers = _heads(config, folds, labels), [LINEAR, *config.cross_checks.classifiers]
    trials, jobs = probe_jobs(plan, sources, run=run, device=device)
    run_items(list(jobs.values()), run.path, n_jobs=n_jobs, progress=progress)
    stage(progress, "tables, intervals and tests")
    tested = TestedRows.of(labels, folds)
    raw = {place: read_job(job.made) for place, job in jobs.items()}
    found = {place: heads.gather(one, folds, tested) for place, one in raw.items()}
    predictions = {
        classifier: [OutOfFold(name, trial, found[classifier, name, trial][0]) for name, trial, _ in trials]
        for classifier in classifiers
    }
    for fold in folds:
        sides = {side: labels.keys[getattr(fold, side)].tolist() for side in ("train", "validation", "test")}
        write_split(run.path / "splits" / f"splits_{fold.name}.csv", **sides)
    checks = cross_check_table(predictions, tested.labels, test_rows=tested.folds, positive=positive)
    values = plan.scoring("test")
    curve = curve_table(
        {(name, trial): found[LINEAR, name, trial] for name, trial, _ in trials},
        heads.names,
        heads.draws,
        tested,
        measure=partial(_class_metrics, tested, positive) if values is None else values.measure,
    )
    write_table(run.path / "cross_checks.csv", checks)
    write_table(run.path / "learning_curve.csv", curve)
    results = compared(
        predictions[LINEAR],
        tested,
        task="probe",
        positive=positive,
        by_group=config.split.by_group,
        folder=run.path,
        meta={
            "split": config.split.mode,
            IMAGE_SET: image_set_sha256(config.data),
            "features": {
                name: [asdict(read_meta(path)) | {"path": str(path)} for files in paths for path in files]
                for name, paths in sources.items()
            },
            "cross_checks": checks,
            "learning_curve": curve,
            "curve_unit": config.learning_curve.unit if labels.groups is not None else "row",
        },
        values=values,
    )
    chosen = _validation_records(plan, predictions[LINEAR])  # of an official split alone
    results = Results([*results.records, *chosen], results.meta)
    if config.null:
        plain, copies, inside = _copies(plan, sources, run)
        of_copies = evaluate_probes(plain, copies, run=inside, device=device, n_jobs=n_jobs, progress=progress)
        results = with_null(results, of_copies)
    results.save(run.results_path)
    return results


def evaluate_probes_part(
    plan: ProbePlan,
    sources: Mapping[str, Trials],
    *,
    part: RunPart,
    device: str = "cpu",
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> None:
    """Trains a part of what ``evaluate_probes`` trains; that gathers it. Arguments and errors as there."""
    mine = part.shard.part(list(probe_jobs(plan, sources, run=part.run, device=device)[1].values()))
    copies: list[Job] = []
    if plan.config.null:
        plain, files, inside = _copies(plan, sources, part.run)
        copies = part.shard.part(list(probe_jobs(plain, files, run=inside, device=device)[1].values()))
    part.do([*mine, *copies], n_jobs=n_jobs, progress=progress)


def _class_metrics(
    tested: TestedRows, positive: int | None, fold: str, shares: Float[np.ndarray, "tested class"]
) -> dict[str, float | None]:
    rows = tested.folds[fold]
    return classification_metrics(tested.labels.class_indices[rows], shares[rows], positive=positive)


def probe_jobs(
    plan: ProbePlan, sources: Mapping[str, Trials], *, run: RunDirectory, device: str
) -> tuple[list[tuple[str, int | None, tuple[Path, ...]]], dict[tuple[str, str, int | None], Job]]:
    """Every source and trial with its files, and a job for each classifier on each."""
    heads = _heads(plan.config, plan.folds, plan.labels)
    trials = [
        (name, None if len(paths) == 1 else k, files)
        for name, paths in sources.items()
        for k, files in enumerate(paths)
    ]
    jobs = {
        (classifier, name, trial): _job(plan, heads, classifier, name, trial, files, run=run, device=device)
        for classifier in (LINEAR, *plan.config.cross_checks.classifiers)
        for name, trial, files in trials
    }
    for job in jobs.values():
        redo_without_models(*job.arguments)
    return trials, jobs


def _copies(
    plan: ProbePlan, sources: Mapping[str, Trials], run: RunDirectory
) -> tuple[ProbePlan, dict[str, Trials], RunDirectory]:
    """Copies of a feature file that carry the same information, as a comparison by itself."""
    config, path = plan.config, baseline_trials(sources)[0][0]
    plain = config.model_copy(
        update={
            "null": 0,
            "cross_checks": CrossCheckSettings(),
            "learning_curve": LearningCurveSettings(),
            "train": config.train.model_copy(update={"final": False}),
        }
    )
    copies = [(files[0],) for files in write_copies([path], run.path / NULL, copies=config.null, seed=config.seed)]
    return replace(plan, config=plain), {COPY: copies}, RunDirectory.open(run.path / NULL / "run", plain)


def _heads(config: ProbeConfig, folds: Sequence[ProbeFold], labels: LabelTable) -> _Heads:
    draws = label_draws(config.learning_curve, folds, labels)
    _, wanted = masks(folds, len(labels))
    of_draws = [(draw.amount, draw.number, draw.fold // config.split.folds) for draw in draws]  # the last: the repeat
    places = {name: variant for variant, name in enumerate(dict.fromkeys(of_draws))}
    return _Heads(
        draws,
        draw_masks(draws, len(labels)),
        wanted[[draw.fold for draw in draws]],
        tuple(places[name] for name in of_draws),
    )


def _job(
    plan: ProbePlan,
    heads: _Heads,
    classifier: str,
    name: str,
    trial: int | None,
    files: tuple[Path, ...],
    *,
    run: RunDirectory,
    device: str,
) -> Job:
    config, labels, folds = plan.config, plan.labels, plan.folds
    all_labels = [place for place, draw in enumerate(heads.draws) if draw.amount == ALL]
    chosen = list(range(len(heads.draws))) if classifier == LINEAR else all_labels
    training, wanted = heads.training[chosen], heads.wanted[chosen]
    variants, kept = [heads.variants[head] for head in chosen], {}
    if classifier == LINEAR:
        kept = {head: folds[heads.draws[head].fold].name for head in all_labels}
        if config.train.final:  # a head of its own, which no row is tested by
            kept[len(chosen)] = FINAL
            training, wanted = (
                np.vstack([mask, np.full(len(labels), one)]) for mask, one in ((training, True), (wanted, False))
            )
            variants.append(0)
    sha256 = work_sha256(classifier, files, labels, training, wanted, plan.target)
    work = ProbeJob(
        classifier=classifier,
        paths=tuple(files),
        keys=labels.keys,
        labels=labels.class_indices,
        classes=labels.classes,
        training=training,
        wanted=wanted,
        variants=tuple(variants),
        train=config.train,
        cross_checks=config.cross_checks,
        memory_gib=config.memory_gib,
        seed=config.seed,
        device=device,
        done=run.path / "jobs" / name / f"{classifier}_trial_{trial or 0}-{sha256}.npy",
        models=probes_path(run.path, source=name, trial=trial or 0) if kept else None,
        kept=kept,
        target=plan.target,
        values=labels.values,
    )
    return Job(f"{name} trial {trial or 0} {classifier}", work.done, run_probe_job, (work,))


def _validation_records(plan: ProbePlan, predictions: Sequence[OutOfFold]) -> list[Record]:
    if plan.target is not None:
        scoring = plan.scoring("validation")
        if scoring is None:
            return []
        names = list(scoring.tested.folds)
        return scored_records(predictions, task="probe", folds=names, measure=scoring.measure, split="validation")
    rows = {fold.name: fold.validation for fold in plan.folds if len(fold.validation)}
    indices = plan.labels.class_indices
    return classification_records(
        predictions, task="probe", labels=indices, test_rows=rows, positive=plan.positive, split="validation"
    )
