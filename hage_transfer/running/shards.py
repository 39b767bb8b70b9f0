"""Tasks of a job array that share a run: each does its part of the jobs, and a run without a shard gathers all."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hage_transfer.config import Settings
from hage_transfer.errors import ConfigError
from hage_transfer.running.items import run_items
from hage_transfer.running.job import Engine, Job
from hage_transfer.running.locks import leave, try_lock
from hage_transfer.running.progress import Progress, run_log
from hage_transfer.running.run_directory import LOCKS, PART_LOCK, PARTS_FOLDER, RunDirectory, alone_in

One = TypeVar("One")


@dataclass(frozen=True)
class Shard:
    """A task's part of a list: item ``number`` (from 1) and every ``of``-th after it."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str, *, overwrite: bool = False) -> "Shard":
        """Reads ``i/n``.

        Raises:
            ConfigError: another form, or a run to be deleted that other tasks are at work in.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"shard={text}: wanted i/n with i from 1 to n, for example 3/8")
        if overwrite:
            raise ConfigError(f"shard={text} with overwrite: would delete other tasks' work; delete the folder first")
        return cls(int(match[1]), int(match[2]))

    def part(self, items: Sequence[One]) -> list[One]:
        """Its items of a list."""
        return list(items[self.number - 1 :: self.of])

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class RunPart:
    """A run's folder, in which a task of an array does its part of the jobs.

    Attributes:
        run: the folder, which other tasks work in too.
        shard: which part.
        n_jobs: done so far, those of an earlier start among them.
        n_left: jobs of all parts that are not done yet, where the task says.
    """

    def __init__(self, run: RunDirectory, shard: Shard, preparing: ExitStack) -> None:
        self.run, self.shard, self.n_jobs, self.n_left = run, shard, 0, 0
        self._preparing = preparing

    def do(
        self,
        jobs: Sequence[Job],
        *,
        n_jobs: int = 1,
        engine: Engine = "processes",
        address: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Does jobs of this part; what they need is there by now, so other tasks need not wait any longer.

        Errors as ``run_items``; ``failures.csv`` lies in the part's own folder.
        """
        self._preparing.close()
        if jobs:
            folder = self.run.path / PARTS_FOLDER / f"{self.shard.number}-of-{self.shard.of}"
            run_items(jobs, folder, n_jobs=n_jobs, engine=engine, address=address, progress=progress)
            leave(folder.parent)
            self.n_jobs += len(jobs)


@contextmanager
def open_part(folder: Path, config: Settings, shard: Shard) -> Iterator[RunPart]:
    """A run's folder for one task of an array, with its log.

    Tasks prepare what all need one after the other (the first makes it, the others find it), until ``do``.

    Raises:
        ConfigError: as ``RunDirectory.open`` and ``alone_in``; or this very part is at work already.
    """
    with ExitStack() as preparing, ExitStack() as held:
        preparing.enter_context(alone_in(folder))
        lock = try_lock(folder / LOCKS, f"{PART_LOCK}{shard.number}-of-{shard.of}")
        if lock is None:
            raise ConfigError(f"{folder}: shard {shard} is at work already; give each task another")
        held.callback(leave, folder / LOCKS)
        held.enter_context(lock)
        run = RunDirectory.open(folder, config)
        held.enter_context(run_log(run))
        yield RunPart(run, shard, preparing)
