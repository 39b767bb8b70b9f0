"""The one loop over a list of items: sections, slides, files, folds. What is done is kept, what fails is listed.

An item is a ``Job``: a name, a function, and a file that says that it is done. One that fails stops no other; a bug, a
full disk and Ctrl-C end the loop, and the next call does what is left.
"""

import logging
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from hage_transfer.errors import HageError, reason
from hage_transfer.running.failures import end_items
from hage_transfer.running.job import Engine, Job
from hage_transfer.running.jobs import run_jobs
from hage_transfer.running.locks import leave
from hage_transfer.running.progress import Progress, Shown
from hage_transfer.running.run_directory import Standing
from hage_transfer.running.workload import Workload

log = logging.getLogger(__name__)
_LOGGED = 10
"""Failures that the log names; ``failures.csv`` has all."""


class Items:
    """What becomes of a list of items, over one or several calls of ``run``.

    Attributes:
        results: what the function of each item that was run returned.
        failures: of the items that failed.
    """

    def __init__(self, folder: Path, *, what: str, total: int, progress: Progress | None = None) -> None:
        """Takes the list.

        Args:
            folder: of ``failures.csv``.
            what: the items are, in the plural.
            total: number of items.
            progress: told of each item that ends.
        """
        self.results: dict[str, Any] = {}
        self.failures: dict[str, HageError] = {}
        self._folder, self._what, self._total, self._progress = folder, what, total, progress
        self._ended, self._standing, self._made = 0, Standing(folder), False
        self._pace: Workload | None = None

    def run(
        self,
        jobs: Sequence[Job],
        *,
        n_jobs: int = 1,
        engine: Engine = "processes",
        address: str | None = None,
        later: float | None = None,
    ) -> dict[str, Any]:
        """Runs what is left of ``jobs``; other arguments and errors as ``run_jobs``.

        Args:
            jobs: some of the list.
            n_jobs: at a time.
            engine: where they run.
            address: of a Ray cluster.
            later: work that comes after them, for the time left, in jobs of cost 1; None: the rest of the list.

        Returns:
            What the functions of those that were run returned, in the order of ``jobs``.
        """
        self._made = self._made or not self._folder.exists()
        with suppress(OSError):  # told by the first job that writes there
            self._folder.mkdir(parents=True, exist_ok=True)
        self._standing = Standing(self._folder)
        later = max(self._total - self._ended - len(jobs), 0) / n_jobs if later is None else later
        self._pace = pace = Workload(
            {job.name: job.cost for job in jobs if not job.is_done}, n_jobs=n_jobs, later=later
        )
        for job in jobs:
            if job.is_done:
                self.keep(job.name)

        def told(name: str, share: float) -> None:
            pace.running[name] = share
            if isinstance(self._progress, Shown):
                done = self._ended + min(sum(pace.running.values()), len(pace.running) - 1e-6)
                self._progress.within(done, self._total, name, left=pace.left())

        with closing(run_jobs(jobs, n_jobs=n_jobs, engine=engine, address=address, told=told)) as ended:
            for one in ended:
                pace.end(one.name)
                if one.error is None:
                    self.results[one.name] = one.result
                    self._end(one.name)
                else:
                    self.fail(one.name, one.error)
        return {job.name: self.results[job.name] for job in jobs if job.name in self.results}

    def keep(self, name: str) -> None:
        """An item that is done already."""
        self._end(name, kept=True)

    def fail(self, name: str, error: HageError) -> None:
        """An item that fails."""
        self.failures[name] = error
        if self._total > 1 and len(self.failures) <= _LOGGED:
            log.warning("%s failed: %s", name, reason(error))
        self._end(name)

    def finish(self, done: object = None) -> None:
        """Ends the list; ``done`` and errors as ``end_items`` and ``Standing.check``."""
        self._standing.check()
        if self._made:
            leave(self._folder)  # where nothing came of any
        end_items(self.failures, total=self._ended, what=self._what, folder=self._folder, done=done)

    def _end(self, name: str, *, kept: bool = False) -> None:
        self._standing.check()
        self._ended += 1
        left = None if self._pace is None else self._pace.left()
        if kept and isinstance(self._progress, Shown):
            self._progress.kept(self._ended, self._total, left=left)
        elif isinstance(self._progress, Shown):
            self._progress.within(self._ended, self._total, name, left=left)
        elif self._progress is not None:
            self._progress(self._ended, self._total, name)


def run_items(
    jobs: Sequence[Job],
    folder: Path,
    *,
    what: str = "jobs",
    n_jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Runs a whole list; arguments and result as ``Items``, errors as ``end_items``."""
    return run_in_turn([jobs], folder, what=what, n_jobs=n_jobs, engine=engine, address=address, progress=progress)


def run_in_turn(
    lists: Sequence[Sequence[Job]],
    folder: Path,
    *,
    what: str = "jobs",
    n_jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Runs lists one after the other, as one in its progress, until one has failures; all else as ``run_items``."""
    items = Items(folder, what=what, total=sum(map(len, lists)), progress=progress)
    found: dict[str, Any] = {}
    for jobs in lists:
        found |= items.run(jobs, n_jobs=n_jobs, engine=engine, address=address)
        if items.failures:
            break
    items.finish(found)
    return found
