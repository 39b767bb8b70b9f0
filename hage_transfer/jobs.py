"""Many independent jobs over processes, each done once: a job whose file exists is not run again."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from hage_transfer.errors import HageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One unit of work: ``run(*arguments)`` makes the file ``done`` (atomically) as its last act.

    ``run`` must be importable (a function of a module) and its arguments picklable, since it may run elsewhere.
    """

    name: str
    done: Path
    run: Callable[..., None]
    arguments: tuple[Any, ...]


def run_jobs(jobs: Sequence[Job], *, n_jobs: int = 1) -> Iterator[tuple[str, str | None]]:
    """Runs what is left of ``jobs`` and yields (name, reason of failure or None) as each ends.

    An error of ours in a job is that job's reason and the others go on; any other exception is a bug and ends the
    run. Each job seeds itself and takes one thread, so results do not
    depend on ``n_jobs`` or on what was done before.
    """
    left = [job for job in jobs if not job.done.exists()]
    if len(left) < len(jobs):
        log.info("%d of %d jobs are done already, %d left", len(jobs) - len(left), len(jobs), len(left))
    if n_jobs == 1:
        yield from map(_attempt, left)
        return
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", backend="loky")
    yield from parallel(joblib.delayed(_attempt)(job) for job in left)


def _attempt(job: Job) -> tuple[str, str | None]:
    try:
        job.run(*job.arguments)
    except HageError as error:
        return job.name, "; ".join([str(error), *getattr(error, "__notes__", [])])
    return job.name, None
