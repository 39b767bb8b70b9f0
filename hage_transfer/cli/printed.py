"""What commands print: consoles that cut nothing where no terminal is, and tables of one look."""

import logging
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hage_transfer.door.run_results import RunResults

_WIDE = 10_000
"""Columns of a log or a pipe: a table takes those that it needs."""


def console(*, stderr: bool = False) -> Console:
    """Standard output or error: lines left whole, tables as wide as the terminal, or as they need where it is none."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _WIDE, markup=False, emoji=False, soft_wrap=True)


def table(*columns: str, title: str | None = None) -> Table:
    """A table without rows, whose words are folded, never cut, where the terminal is too narrow."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def is_part(results: "RunResults", console: Console) -> bool:
    """Whether this is but a task of a job array, whose part has no numbers; says what it did."""
    if not results.records:
        console.print(repr(results))
    return not results.records


def log_handler() -> logging.Handler:
    """Of messages on standard error: wrapped on a terminal, a line each in a log."""
    if sys.stderr.isatty():
        from rich.logging import RichHandler

        return RichHandler(console=console(stderr=True), show_path=False, show_level=False, log_time_format="%H:%M:%S")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    return handler
