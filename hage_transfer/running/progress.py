"""Progress of long work: a callback of the caller's own, or a bar on standard error; and the run's log file."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from hage_transfer.errors import HageError
from hage_transfer.running.run_directory import RunDirectory

log = logging.getLogger(__name__)

PACKAGE = "hage_transfer"
"""The logger whose messages are shown and kept."""
_LOG_SECONDS = 60.0


class Progress(Protocol):
    """What long work tells of itself."""

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """Called as each item ends, the kept and the failed among them: ``done`` of ``total`` ended, ``name`` last."""


@contextmanager
def shown(title: str, progress: Progress | None = None) -> Iterator[Progress]:
    """The caller's own progress; without one a bar where somebody looks (terminal, notebook), else lines in the log."""
    if progress is not None:
        yield progress
    elif sys.stderr.isatty() or "ipykernel" in sys.modules:
        with _bar(title) as tell:
            yield tell
    else:
        yield _logged(title)


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # a notebook shows standard error as a terminal does; rich's own way there needs ipywidgets
    console = Console(stderr=True, force_jupyter=False, force_terminal=True)
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        task = bars.add_task(title, total=None)

        def tell(done: int, total: int, name: str, /) -> None:
            bars.update(task, completed=done, total=total, description=f"{title}: {name}")

        yield tell


def _logged(title: str) -> Progress:
    """A line a minute of work that takes longer."""
    began = last = time.monotonic()

    def tell(done: int, total: int, name: str, /) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LOG_SECONDS and 0 < done < total:
            last = now
            left = (now - began) / done * (total - done)
            log.info("%s: %d of %d, about %.0f min left (%s)", title, done, total, left / 60, name)

    return tell


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
