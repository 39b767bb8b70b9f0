"""`hage robustness`: do features group by class, or by the centre that they come from."""

from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("robustness")(robustness)


def robustness(
    of: Annotated[
        list[str], typer.Argument(metavar="RUN|NAME=FEATURES...", help="A run of `hage probe|mil`, or named features.")
    ],
    by: Annotated[str, typer.Option(help="Column of the label table that holds the centre.")] = "centre",
    labels: Annotated[Path | None, typer.Option(help="Label table with that column; left out: the run's own.")] = None,
    k: Annotated[int | None, typer.Option(help="Neighbours; left out: as many as predict the class best.")] = None,
    out: Annotated[Path | None, typer.Option(help="Csv to write.")] = None,
    device: options.Device = "auto",
) -> None:
    """Say whether features of slides or patches lie near others of their class, or of their centre."""
    named = dict(one.split("=", 1) for one in of if "=" in one)
    found = ht.robustness(named or of[0], by=by, labels=labels, k=k, out=out, device=device)
    console = printed.console()
    console.print(found.caption(), highlight=False)
    table = printed.table("source", "index", "95% by patient", "class / centre", "less the first")
    for row in found.rows:
        less = _number(row.get("difference"), "+z.3f"), _interval(row.get("difference_low"), row.get("difference_high"))
        cells = _number(row["index"]), _interval(row["low"], row["high"]), _number(row["ratio"]), " ".join(less).strip()
        table.add_row(row["source"], *cells)
    console.print(table)
    console.print(f"table: {found.path}", highlight=False)


def _number(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else f"{value:{form}}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"({low:.3f} to {high:.3f})"
