"""`hage tissue`: tissue, outlines and tile counts of slides, to be looked at before encoding."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import options, printed

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="CONFIG|SLIDES...", help="A recipe of `hage mil`, or slides and folders of slides."),
]


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("tissue")(tissue)


def tissue(
    inputs: Inputs,
    set_: options.Set = None,
    mpp: options.Mpp = None,
    out: options.Out = None,
    jobs: options.Jobs = 1,
    overwrite: options.Overwrite = False,
) -> None:
    """Show where the tissue of slides is and how many tiles they give, without encoding.

    Writes outlines/<slide>.png, geojson/<slide>.geojson (QuPath opens it; data.tissue.method=geojson reads it back) and
    tissue.csv. Files that were edited since are kept.
    """
    folder, console = out or Path("runs") / "tissue", printed.console()
    try:
        rows = ht.tissue(inputs, out=folder, changes=set_ or (), mpp_um_per_px=mpp, jobs=jobs, overwrite=overwrite)
    except ht.ItemsFailedError as error:
        _show(error.done, console)
        raise
    _show(rows, console)
    console.print(f"outlines to look at: {folder / 'outlines'}")


def _show(rows: Any, console: Console) -> None:
    table = printed.table("slide", "um per px", "tissue mm2", "pieces", "ink mm2", "tiles", "s")
    names = ("mpp_x_um_per_px", "tissue_mm2", "pieces", "pen_mm2", "tiles", "seconds")
    for row in rows.to_dict("records"):
        table.add_row(
            row["slide"], *("" if row[name] != row[name] or row[name] is None else f"{row[name]:.4g}" for name in names)
        )
    console.print(table)
