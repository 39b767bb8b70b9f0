"""Progress of long work: a callback of the caller's own, or a bar on standard error; and the run's log file."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from hage_transfer.config import Settings
from hage_transfer.errors import HageError
from hage_transfer.running.run_directory import RunDirectory, alone_in, wait_for_parts

log = logging.getLogger(__name__)

PACKAGE = "hage_transfer"
"""The logger whose messages are shown and kept."""
_FIRST_SECONDS, _LOG_SECONDS = 10.0, 60.0


class Progress(Protocol):
    """What long work tells of itself."""

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """Called as each item ends, the kept and the failed among them: ``done`` of ``total`` ended, ``name`` last."""


class Shown:
    """Progress as it is shown: what is done, of how much, and how long the rest takes at the pace so far."""

    def __init__(self, title: str, show: Callable[[float, int, str, float | None], None]) -> None:
        """Args: ``show`` takes done, total, what is under way, and the seconds left, None where nobody can say yet."""
        self._title, self._show = title, show
        self._total, self._done, self._from = 0, 0.0, (time.monotonic(), 0.0)

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """As ``Progress``."""
        self.within(done, total, name)

    def kept(self, done: int, total: int, /) -> None:
        """Items that were done before: they say nothing of the pace."""
        self._total, self._done, self._from = total, done, (time.monotonic(), done)
        self._show(done, total, self._title, None)

    def within(self, done: float, total: int, name: str, /) -> None:
        """As a call, between the ends of items too: ``done`` may be a fraction."""
        now = time.monotonic()
        if total != self._total or done < self._done - 1:  # other work under the same title
            self._total, self._from = total, (now, float(int(done))) if self._total else self._from
        elif done % 1 and not self._from[1] % 1 and self._done == self._from[1]:
            self._from = now, done  # what comes before the first step (imports, reading) is no part of the pace
        self._done = done
        began, before = self._from
        pace = (now - began) / (done - before) if done > before and now > began else None
        self._show(done, total, f"{self._title}: {name}", None if pace is None else pace * (total - done))


@contextmanager
def shown(title: str, progress: Progress | None = None) -> Iterator[Progress]:
    """The caller's own progress; without one a bar where somebody looks (terminal, notebook), else lines in the log."""
    if progress is not None:
        yield progress
    elif sys.stderr.isatty() or "ipykernel" in sys.modules:
        with _bar(title) as tell:
            yield tell
    else:
        yield Shown(title, _logged())


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn()
    # a notebook shows standard error as a terminal does; rich's own way there needs ipywidgets
    console = Console(stderr=True, force_jupyter=False, force_terminal=True)
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(title, total=None, said="")

        def show(done: float, total: int, name: str, left: float | None) -> None:
            bars.update(task, completed=done, total=total, description=name, said=f"{said(done, total, left)}")

        yield Shown(title, show)


def _logged() -> Callable[[float, int, str, float | None], None]:
    """A line after ten seconds, then one a minute."""
    due = time.monotonic() + _FIRST_SECONDS

    def show(done: float, total: int, name: str, left: float | None) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due and done < total and left is not None:
            due = now + _LOG_SECONDS
            log.info("%s, %s", name, said(done, total, left))

    return show


def said(done: float, total: int, left: float | None) -> str:
    """Done of total and the time left, in words.

    >>> said(1.25, 6, 95.0)
    '1 of 6 (21 %), about 1 min 35 s left'
    """
    text = f"{int(done)} of {total}" + (f" ({done / total:.0%})".replace("%", " %") if done % 1 else "")
    if left is None or done >= total:
        return text
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((place for place, (amount, _) in enumerate(parts) if amount), 2)
    return f"{text}, about {' '.join(f'{amount} {unit}' for amount, unit in parts[first : first + 2])} left"


@contextmanager
def open_run(folder: Path, config: Settings, *, overwrite: bool, alone: bool = True) -> Iterator[RunDirectory]:
    """A run's folder with its log; errors as ``RunDirectory.open`` and ``alone_in``.

    Args:
        folder: of the run.
        config: of the run.
        overwrite: delete what another config made.
        alone: False: other workers are at work in it too, each at a part of the list.
    """
    with alone_in(folder) if alone else nullcontext():
        if alone:
            wait_for_parts(folder)
        run = RunDirectory.open(folder, config, overwrite=overwrite)
        with run_log(run):
            yield run


@contextmanager
def run_log(run: RunDirectory) -> Iterator[None]:
    """Adds the run's ``log.txt`` to the project's loggers while it runs; what refuses the run is written there too."""
    handler = run.log_handler()
    logging.getLogger(PACKAGE).addHandler(handler)
    try:
        yield
    except HageError as error:  # to the file alone: the command line shows it itself
        handler.handle(logging.LogRecord(__name__, logging.ERROR, __file__, 0, "%s", (error,), None))
        raise
    finally:
        logging.getLogger(PACKAGE).removeHandler(handler)
        handler.close()
