"""Progress of long work: a callback of the caller's own, or a bar on standard error; and the run's log file."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hage_transfer.config import Settings
from hage_transfer.errors import HageError
from hage_transfer.running.run_directory import RunDirectory, alone_in, wait_for_parts

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

PACKAGE = "hage_transfer"
"""The logger whose messages are shown and kept."""
_LEAST = 0.05
"""Of an item, that must be done before the pace says anything."""
_TOGETHER_SECONDS = 0.5
"""Within which workers that began together say their first step."""
Show = Callable[[float, int, str, float | None], None]
"""Shows done, total, what is under way, and the seconds left."""
_FIRST_SECONDS, _LOG_SECONDS, _FRAME_SECONDS = 10.0, 60.0, 0.25


class Progress(Protocol):
    """What long work tells of itself."""

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """Called as each item ends, the kept and the failed among them: ``done`` of ``total`` ended, ``name`` last."""


class Shown:
    """Progress as it is shown: what is done, of how much, and how long the rest takes at the pace so far."""

    def __init__(self, title: str, show: Show) -> None:
        """Args: ``show`` takes done, total, what is under way, and the seconds left, None where nobody can say yet."""
        self._title, self._show = title, show
        self._total, self._done, self._left = 0, 0.0, 0.0
        self._first_step: float | None = None
        self._from = (time.monotonic(), 0.0)

    def under(self, title: str) -> "Shown":
        """The same place on the screen for a part of the work, with a pace of its own; one's own title is no part."""
        return self if self._title.endswith(title) else Shown(f"{self._title}, {title}", self._show)

    def stage(self, name: str, /) -> None:
        """Work that comes next and has no count."""
        self._total, self._from = 0, (time.monotonic(), 0.0)
        self._show(0, 0, f"{self._title}: {name}", None)

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """As ``Progress``."""
        self.within(done, total, name)

    def kept(self, done: int, total: int, /, *, left: float | None = None) -> None:
        """Items that were done before: they say nothing of the pace."""
        self._begin(done, total, float(total - done) if left is None else left)
        self._show(done, total, self._title, None)

    def within(self, done: float, total: int, name: str, /, *, left: float | None = None) -> None:
        """As a call, between the ends of items too.

        Args:
            done: may be a fraction.
            total: of them.
            name: of what is under way.
            left: items that the rest takes as long as, one after the other; None: as many as are not done.
        """
        left = total - done if left is None else left
        if total != self._total or done < self._done - 1:  # other work under the same title
            begun = None if self._total else (self._from[0], max(float(total), left))
            self._begin(done, total, left)
            self._from = begun or self._from
        now = time.monotonic()
        is_first = self._first_step is None and self._left in (left, self._from[1])
        if done % 1 and (is_first or (self._first_step is not None and now - self._first_step < _TOGETHER_SECONDS)):
            first = now if self._first_step is None else self._first_step
            self._begin(done, total, left)  # what comes before the first step (imports, reading) is no part of the pace
            self._first_step = first
        began, before = self._from
        self._done, self._left = done, left
        is_enough = left < before and before - left >= _LEAST * min(before, 1.0)
        pace = (now - began) / (before - left) if is_enough and now > began else None
        self._show(done, total, f"{self._title}: {name}", None if pace is None else pace * left)

    def _begin(self, done: float, total: int, left: float) -> None:
        self._total, self._done, self._left, self._first_step = total, done, left, None
        self._from = (time.monotonic(), left)


def stage(progress: Progress | None, name: str) -> None:
    """Says what comes next that has no count, where progress is shown; a caller's own callback counts items alone."""
    if isinstance(progress, Shown):
        progress.stage(name)


def under(progress: Progress | None, title: str) -> Progress | None:
    """For what a part of the work counts, where progress is shown."""
    return progress.under(title) if isinstance(progress, Shown) else None


@contextmanager
def shown(title: str, progress: Progress | None = None) -> Iterator[Progress]:
    """The caller's own progress; without one a bar where somebody looks (terminal, notebook), else lines in the log."""
    if isinstance(progress, Shown):
        yield progress.under(title)
    elif progress is not None:
        yield progress
    else:
        place = _cell_line if _in_notebook() else _bar if sys.stderr.isatty() else _logged
        with place(title) as show:
            begun = Shown(title, show)
            begun.stage("loading libraries")
            yield begun


def _in_notebook() -> bool:
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return get_ipython() is not None


@contextmanager
def _cell_line(title: str) -> Iterator[Show]:
    """One output of the cell that is written over, and empty at the end: a saved notebook keeps no frame of it."""
    from IPython.display import display

    line, told = display({"text/plain": title}, raw=True, display_id=True), 0.0

    def show(done: float, total: int, name: str, left: float | None) -> None:
        nonlocal told
        if time.monotonic() - told >= _FRAME_SECONDS:
            told = time.monotonic()
            line.update({"text/plain": f"{name} {said(done, total, left)}"}, raw=True)

    try:
        yield show
    finally:
        line.update({"text/plain": ""}, raw=True)


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    console = _console()
    name = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True))  # cut where all has no room
    bar = BarColumn(max(8, min(40, console.width // 4 - 12)))
    with Bars(
        name, bar, TextColumn("{task.fields[said]}"), TimeElapsedColumn(), console=console, transient=True, expand=True
    ) as bars:
        task = bars.add_task(title, total=None, said="")

        def show(done: float, total: int, name: str, left: float | None) -> None:
            bars.tasks[0].total = total or None  # without a count it moves to and fro
            bars.update(task, completed=done, description=name, said=f"{said(done, total, left)}")
            bars.tasks[0].finished_time = None  # after one part of the work comes another: the clock goes on

        yield show


def _console() -> "Console":
    """The one that messages are written by, which keeps them off the bar; else one of its own."""
    from rich.console import Console
    from rich.logging import RichHandler

    messages = (one.console for one in logging.getLogger().handlers if isinstance(one, RichHandler))
    return next(messages, None) or Console(stderr=True, force_jupyter=False, force_terminal=True)


@contextmanager
def _logged(title: str) -> Iterator[Show]:
    """A line after ten seconds, then one a minute, whether or not the work says anything."""
    told: tuple[float, float, int, str, float | None] = (time.monotonic(), 0, 0, title, None)
    ended = threading.Event()

    def show(done: float, total: int, name: str, left: float | None) -> None:
        nonlocal told
        told = (time.monotonic(), done, total, name, left)

    def say() -> None:
        begun, wait_s = time.monotonic(), _FIRST_SECONDS
        while not ended.wait(wait_s):
            at, done, total, name, left = told
            now, wait_s = time.monotonic(), _LOG_SECONDS
            text = said(done, total, None if left is None else max(left - (now - at), 0.0))
            ago = "" if left is not None and done < total else f"{in_words(now - begun)} so far"
            log.info("%s", ", ".join(part for part in (name, text, ago) if part))

    speaker = threading.Thread(target=say, daemon=True)
    speaker.start()
    try:
        yield show
    finally:
        ended.set()
        speaker.join()


def said(done: float, total: int, left: float | None) -> str:
    """Done of total and the time left, in words; nothing of what has no count.

    >>> said(1.25, 6, 95.0)
    '1 of 6 (21 %), about 1 min 35 s left'
    """
    if not total:
        return ""
    text = f"{int(done)} of {total}" + (f" ({done / total:.0%})".replace("%", " %") if done % 1 else "")
    return text if left is None or done >= total else f"{text}, about {in_words(left)} left"


def in_words(seconds: float) -> str:
    """A time in its two largest units.

    >>> in_words(3725)
    '1 h 2 min'
    """
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (whole, "s")]
    first = next((place for place, (amount, _) in enumerate(parts) if amount), 2)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2])


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
