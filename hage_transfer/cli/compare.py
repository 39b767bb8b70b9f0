"""`hage compare`: every system's encoder and every control on the same tasks, ranked."""

from typing import Any

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("compare")(compare)


@options.run_command
def compare(run: dict[str, Any], *, shard: options.Shard = None) -> None:
    """Pretrain every system and control, compare all encoders on patches and slides, and rank them."""
    results = ht.compare_systems(**run, shard=shard)
    console = printed.console()
    if printed.is_part(results, console):
        return
    for task, rows in results.rankings().items():
        table = printed.table(task, *rows.columns)
        for source, cells in rows.iterrows():
            table.add_row(str(source), *cells)
        console.print(table)
        console.print(results.meta["sentences"][task])
    console.print(f"run directory: {results.folder}")
