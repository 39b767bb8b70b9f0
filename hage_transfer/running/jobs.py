"""Many independent jobs, each done once: a job whose file exists is not run again. Where they run is the engine's."""

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hage_transfer.errors import HageError, InputError
from hage_transfer.running.ticks import heard

log = logging.getLogger(__name__)
Engine = Literal["processes", "ray"]
TRIES = 2
"""How often a job is given to a worker before the deaths of its workers count as its own failure."""


@dataclass(frozen=True)
class Job:
    """One unit of work: ``run(*arguments)`` makes the file ``done`` (atomically) as its last act, if it has one.

    ``run`` must be importable (a function of a module) and its arguments picklable, since it may run elsewhere.

    Attributes:
        name: in progress and failures.
        done: what it makes, on a file system that every worker sees; None: it is run each time and keeps what is there.
        run: the function.
        arguments: its arguments.
        gpus: it takes, where the engine gives them out (Ray).
    """

    name: str
    done: Path | None
    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    gpus: int = 0

    @property
    def made(self) -> Path:
        """The file that it makes; a job that makes none must not be asked."""
        if self.done is None:
            raise ValueError(f"job {self.name} makes no file")
        return self.done

    @property
    def is_done(self) -> bool:
        """Whether its file is there."""
        return self.done is not None and self.done.exists()


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        name: of the job.
        result: what its function returned.
        error: of ours, that ended it; None where it is done.
    """

    name: str
    result: Any = None
    error: HageError | None = None


def run_jobs(
    jobs: Sequence[Job],
    *,
    n_jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    told: Callable[[str, float], None] | None = None,
) -> Generator[Ended, None, None]:
    """Runs what is left of ``jobs`` and yields how each ended, in no set order.

    An error of ours in a job is that job's own and the others go on; any other exception is a bug and ends the
    run. A worker that is killed loses its own job's work and nothing else: the job is tried once more, and a second
    death is its error. Each job seeds itself and sets its threads, so results do not depend on where it
    runs or on what was done before.

    Args:
        jobs: each with a ``done`` of its own, if any.
        n_jobs: at a time. On a Ray cluster that is there already its own CPUs and GPUs decide.
        engine: ``processes`` of this machine, or a ``ray`` cluster.
        address: of a Ray cluster; None: one of ``n_jobs`` workers is started on this machine.
        told: called with a job's name and how much of it is done, where it says so (not from a Ray cluster).

    Raises:
        ConfigError: the engine is not to be had.
    """
    left = [job for job in jobs if not job.is_done]
    if len(left) < len(jobs):
        log.info("%d of %d jobs are done already, %d left", len(jobs) - len(left), len(jobs), len(left))
    if engine == "ray":
        from hage_transfer.running.ray_engine import run_on_ray

        yield from run_on_ray(left, n_jobs=n_jobs, address=address)
    elif n_jobs == 1:
        yield from (attempt(job, None if told is None else partial(told, job.name)) for job in left)
    else:
        from hage_transfer.running.process_engine import run_in_processes

        yield from run_in_processes(left, n_jobs=n_jobs, told=told)


def attempt(job: Job, told: Callable[[float], None] | None = None) -> Ended:
    """Runs a job; an error of ours ends it, any other goes on up."""
    try:
        with heard(told):
            return Ended(job.name, job.run(*job.arguments))
    except HageError as error:
        error.__traceback__ = error.__context__ = None  # their frames hold what the job had in memory
        return Ended(job.name, error=error)


def after_death(job: Job) -> Ended:
    """How a job ended whose worker died each time it was tried: its file may be there all the same."""
    if job.is_done:
        return Ended(job.name)
    return Ended(
        job.name,
        error=InputError(
            f"the worker of {job.name} was killed {TRIES} times (out of memory? see the system's log); run again"
        ),
    )
