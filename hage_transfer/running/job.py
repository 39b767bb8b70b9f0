"""One job of many: what it does, how it ended, and what its death means."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hage_transfer.errors import HageError, InputError
from hage_transfer.running.ticks import heard

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
        cost: of its work, against that of the others, for the time left.
    """

    name: str
    done: Path | None
    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    gpus: int = 0
    cost: float = 1.0

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
