"""Progress bars on standard error, and the run's log file."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hage_transfer.errors import HageError
from hage_transfer.running.run_directory import RunDirectory

PACKAGE = "hage_transfer"
"""The logger whose messages are shown and kept."""


@contextmanager
def job_progress(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that is told (name, done, total) as each job ends; shown where standard error is a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def tell(name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{title}: {name}")

        yield tell


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


@contextmanager
def encode_progress() -> Iterator[Any]:
    """A bar on stderr for all items together; the description names the item at work."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def track(name: str, count: int) -> Any:
            task = progress.add_task(name, total=count)

            def advance(done: int) -> None:
                progress.advance(task, done)
                if task in progress.task_ids and progress.tasks[progress.task_ids.index(task)].finished:
                    progress.remove_task(task)  # a list may hold thousands of slides

            return advance

        yield track
