"""`hage plan`: hours, disk and memory of a study before it is begun."""

from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed
from hage_transfer.cli.flags import as_flags

Amount = Annotated[int | None, typer.Option(help="How many; left out: read from what is there.", min=1)]


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("plan")(plan)


def plan(
    config: options.Config,
    changes: options.Set = None,
    slides: Amount = None,
    tiles: Amount = None,
    patches: Amount = None,
    sections: Amount = None,
    spots: Amount = None,
    patients: Amount = None,
    genes: Amount = None,
    width: Amount = None,
    n_encoders: Amount = None,
    gpus: Annotated[int | None, typer.Option(help="That share each stage's work (job arrays, Ray).", min=1)] = None,
    jobs: options.Jobs = 1,
    rates: Annotated[Path | None, typer.Option(help="File of measured rates; --measure writes it.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure here, on small synthetic data.")] = False,
    device: options.Device = "auto",
) -> None:
    """Hours, disk and memory of each stage of a config, from measured rates; nothing of it is run."""
    found = ht.plan(**locals())
    table = printed.table(*found.COLUMNS)
    for row in found.rows():
        table.add_row(*row)
    printed.console().print(table, *(f"- {as_flags(note)}" for note in found.notes), sep="\n", highlight=False)
