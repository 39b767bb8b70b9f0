"""`hage compare`: every system's encoder and every control on the same tasks, ranked."""

from typing import Any

import typer
from rich.console import Console
from rich.table import Table

import hage_transfer as ht
from hage_transfer.cli import options


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("compare")(compare)


@options.run_command
def compare(run: dict[str, Any]) -> None:
    """Pretrain every system and control, compare all encoders on patches and slides, and rank them."""
    results = ht.compare_systems(**run)
    console = Console()
    for task, rows in results.rankings().items():
        table = Table(task, *rows.columns, **options.STYLE)
        for source, cells in rows.iterrows():
            table.add_row(str(source), *cells)
        console.print(table)
        console.print(results.meta["sentences"][task], markup=False, soft_wrap=True)
    console.print(f"run directory: {results.folder}", markup=False, soft_wrap=True)
