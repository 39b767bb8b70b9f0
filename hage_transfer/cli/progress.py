"""Progress bars on standard error, and the run's log file."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hage_transfer.cli.options import PACKAGES
from hage_transfer.errors import HageError
from hage_transfer.run_directory import RunDirectory


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
    for name in PACKAGES:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    except HageError as error:  # to the file alone: the command line shows it itself
        handler.handle(logging.LogRecord(__name__, logging.ERROR, __file__, 0, "%s", (error,), None))
        raise
    finally:
        for name in PACKAGES:
            logging.getLogger(name).removeHandler(handler)
        handler.close()
