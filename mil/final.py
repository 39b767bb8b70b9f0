"""The classifier of every slide, for new patients: trained as long as the folds' best, and beside their models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from hage_transfer.compare.records import FINAL
from hage_transfer.mil.folds import MilFold
from hage_transfer.mil.jobs import FoldResult, MilJob, redo_without_models, run_mil_job, work_sha256
from hage_transfer.running.job import Job


def final_job(job: MilJob, found: Mapping[str, FoldResult]) -> Job:
    """The job of a source and trial that trains on every slide.

    Args:
        job: that trained the folds.
        found: of the folds; the median of their best epochs is how long it trains, without early stop.
    """
    every = np.arange(len(job.labels))
    folds = (MilFold(FINAL, every, every[:0], every),)
    epochs = max(round(median(one.best_epoch + 1 for one in found.values())), 1)
    train = job.config.train.model_copy(update={"epochs": epochs, "validation": 0.0})
    sha256 = work_sha256(job.bags, job.labels, folds, job.own, job.target)
    done = job.out / "jobs" / job.source / f"{FINAL}_trial_{job.trial}-{sha256}-{epochs}.json"
    config, out = job.config.model_copy(update={"train": train}), job.out / FINAL
    work = replace(job, folds=folds, config=config, out=out, done=done)
    redo_without_models(done, out, source=job.source, trial=job.trial, folds=[FINAL])
    name = f"{job.source} trial {job.trial} of every slide"
    return Job(name, done, run_mil_job, (work,), cost=final_cost(job.folds))


def final_cost(folds: Sequence[MilFold]) -> float:
    """Of training on every slide once, against the training of all folds, for the time left."""
    return 1 / max(len(folds) - 1, 1)


def final_jobs(jobs: Sequence[Job], found: Sequence[Mapping[str, FoldResult]]) -> list[Job]:
    """The same of all sources and trials of a run."""
    return [final_job(job.arguments[0], one) for job, one in zip(jobs, found, strict=True)]
