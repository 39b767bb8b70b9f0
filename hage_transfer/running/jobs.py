"""Many independent jobs, each done once: a job whose file exists is not run again. Where they run is the engine's."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hage_transfer.errors import HageError

log = logging.getLogger(__name__)
Engine = Literal["processes", "ray"]
TRIES = 2
"""How often a job is given to a worker before the deaths of its workers count as its own failure."""


@dataclass(frozen=True)
class Job:
    """One unit of work: ``run(*arguments)`` makes the file ``done`` (atomically) as its last act.

    ``run`` must be importable (a function of a module) and its arguments picklable, since it may run elsewhere.

    Attributes:
        name: in progress and failures.
        done: what it makes, on a file system that every worker sees.
        run: the function.
        arguments: its arguments.
        gpus: it takes, where the engine gives them out (Ray).
    """

    name: str
    done: Path
    run: Callable[..., None]
    arguments: tuple[Any, ...]
    gpus: int = 0


def run_jobs(
    jobs: Sequence[Job], *, n_jobs: int = 1, engine: Engine = "processes", address: str | None = None
) -> Iterator[tuple[str, str | None]]:
    """Runs what is left of ``jobs`` and yields (name, reason of failure or None) as each ends, in no set order.

    An error of ours in a job is that job's reason and the others go on; any other exception is a bug and ends the
    run. A worker that is killed loses its own job's work and nothing else: the job is tried once more, and a second
    death is its reason of failure. Each job seeds itself and sets its threads, so results do not depend on where it
    runs or on what was done before.

    Args:
        jobs: each with a ``done`` of its own.
        n_jobs: at a time. On a Ray cluster that is there already its own CPUs and GPUs decide.
        engine: ``processes`` of this machine, or a ``ray`` cluster.
        address: of a Ray cluster; None: one of ``n_jobs`` workers is started on this machine.

    Raises:
        ConfigError: the engine is not to be had.
    """
    left = [job for job in jobs if not job.done.exists()]
    if len(left) < len(jobs):
        log.info("%d of %d jobs are done already, %d left", len(jobs) - len(left), len(jobs), len(left))
    if engine == "ray":
        from hage_transfer.running.ray_engine import run_on_ray

        yield from run_on_ray(left, n_jobs=n_jobs, address=address)
    elif n_jobs == 1:
        yield from map(attempt, left)
    else:
        from hage_transfer.running.process_engine import run_in_processes

        yield from run_in_processes(left, n_jobs=n_jobs)


def attempt(job: Job) -> tuple[str, str | None]:
    """Runs a job: its name, and the reason if an error of ours ended it."""
    try:
        job.run(*job.arguments)
    except HageError as error:
        return job.name, "; ".join([str(error), *getattr(error, "__notes__", [])])
    return job.name, None


def death_reason(job: Job) -> str:
    """Reason of failure of a job whose worker died each time it was tried."""
    return f"the worker of {job.name} was killed {TRIES} times (out of memory? see the system's log); run again"
