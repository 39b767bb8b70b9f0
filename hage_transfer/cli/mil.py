"""`hage mil`: cross-validated comparison of feature sources with bag classifiers."""

from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import options, printed
from hage_transfer.cli.classify import COLUMNS, show_differences, show_table


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("mil")(mil)


@options.run_command
def mil(
    run: dict[str, Any], *, shard: options.Shard = None, null: options.Null = None, controls: options.Controls = None
) -> None:
    """Compare slide feature sources with AB-MIL on the same folds and seeds."""
    results = ht.mil(**run, shard=shard, null=null, controls=controls)
    console = printed.console()
    if printed.is_part(results, console):
        return
    show_table(results, console)
    show_quoted(results.meta["quoted"], console)
    show_differences(results, console)
    console.print(f"run directory: {results.folder}")


def show_quoted(quoted: Mapping[str, Mapping[str, float]], console: Console) -> None:
    """Prints published numbers, which nothing here was measured for, in the columns of the table above."""
    if not quoted:
        return
    table = printed.table("quoted, not measured here", *COLUMNS[0].values())
    for system, values in quoted.items():
        table.add_row(system, *(f"{values[name]:.3f}" if name in values else "" for name in COLUMNS[0]))
    console.print(table)
