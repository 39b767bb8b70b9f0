"""`hage report`: one page over runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hage_transfer.cli import options


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def report(
        runs: Annotated[
            list[Path],
            typer.Argument(help="Run directories of pretrain, probe and mil, and folders of predict, in any order."),
        ],
        out: options.Out = None,
    ) -> None:
        """Write report.html (one file that needs no other) and report.md: the answer first, then what it rests on."""
        from hage_transfer.report.page import write_report

        folder = out or Path()
        write_report(runs, folder)
        Console().print(f"report: {folder / 'report.html'} and {folder / 'report.md'}", markup=False, soft_wrap=True)
