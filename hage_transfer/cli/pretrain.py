"""`hage pretrain`: folds x trials of HAGE on spatial transcriptomics, beside the baselines."""

from typing import Annotated, Any

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed
from hage_transfer.cli.gene_tables import show_gene_table, show_paired_differences


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("pretrain")(pretrain)


@options.run_command
def pretrain(
    run: dict[str, Any],
    *,
    methods: Annotated[
        str | None, typer.Option(help="Compared systems, comma-separated, or `all` (Table 1); config key `methods`.")
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option(help="YAML of named variants of HAGE, an ablation or a grid, or the name of a recipe of them."),
    ] = None,
    controls: options.Controls = None,
    shard: options.Shard = None,
    engine: options.Engine = "processes",
    address: options.Address = None,
) -> None:
    """Train HAGE on ST sections, leaving out each patient (or section) in turn; writes encoder directories."""
    given = run | {"methods": methods, "variants": variants, "controls": controls}
    results = ht.pretrain(**given, shard=shard, engine=engine, address=address)
    console = printed.console()
    if printed.is_part(results, console):
        return
    show_gene_table(results, console)
    show_paired_differences(results, console)
    best = results.folder / "encoder"
    made = f"; encoder of the best validation PCC: {best}" if best.is_dir() else ""
    console.print(f"run directory {results.folder}{made}")
