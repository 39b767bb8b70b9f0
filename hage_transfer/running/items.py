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

    def run(
        self, jobs: Sequence[Job], *, n_jobs: int = 1, engine: Engine = "processes", address: str | None = None
    ) -> dict[str, Any]:
        """Runs what is left of ``jobs``; errors as ``run_jobs``.

        Returns:
            What the functions of those that were run returned, in the order of ``jobs``.
        """
        self._made = self._made or not self._folder.exists()
        with suppress(OSError):  # told by the first job that writes there
            self._folder.mkdir(parents=True, exist_ok=True)
        self._standing = Standing(self._folder)
        for job in jobs:
            if job.is_done:
                self.keep(job.name)
        running: dict[str, float] = {}

        def told(name: str, share: float) -> None:
            running[name] = share
            if isinstance(self._progress, Shown):
                self._progress.within(self._ended + min(sum(running.values()), len(running) - 1e-6), self._total, name)

        with closing(run_jobs(jobs, n_jobs=n_jobs, engine=engine, address=address, told=told)) as ended:
            for one in ended:
                running.pop(one.name, None)
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
        end_items(self.failures, total=self._total, what=self._what, folder=self._folder, done=done)

    def _end(self, name: str, *, kept: bool = False) -> None:
        self._standing.check()
        self._ended += 1
        if kept and isinstance(self._progress, Shown):
            self._progress.kept(self._ended, self._total)
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
    items = Items(folder, what=what, total=len(jobs), progress=progress)
    found = items.run(jobs, n_jobs=n_jobs, engine=engine, address=address)
    items.finish(found)
    return found
