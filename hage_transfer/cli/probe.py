"""`hage probe`: cross-validated comparison of feature sources with the linear probe and its cross-checks."""

from typing import Annotated, Any

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed
from hage_transfer.cli.classify import show_cross_checks, show_curve, show_differences, show_table


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("probe")(probe)


@options.run_command
def probe(
    run: dict[str, Any],
    *,
    select: Annotated[
        bool, typer.Option("--select", help="Write which encoder did best to selected.json, for `hage mil`.")
    ] = False,
    shard: options.Shard = None,
    null: options.Null = None,
    controls: options.Controls = None,
) -> None:
    """Compare patch feature sources with the linear probe on the same folds and seeds."""
    results = ht.probe(**run, select=select, shard=shard, null=null, controls=controls)
    console = printed.console()
    if printed.is_part(results, console):
        return
    show_table(results, console)
    show_cross_checks(results, console)
    show_curve(results, console)
    show_differences(results, console)
    if results.selected is not None:
        chosen = results.selected
        metric, rows = chosen["selected_by"]["metric"], chosen["selected_by"]["rows"]
        console.print(
            f"selected: {chosen['encoder']} ({metric} {chosen[metric]:.3f} on {rows} rows), written to "
            f"{results.folder / 'selected.json'}",
        )
    console.print(f"run directory: {results.folder}")
