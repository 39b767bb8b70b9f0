"""`hage report`: one page over runs."""

from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import printed


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("report")(report)


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run directories of pretrain, probe and mil, and folders of predict, in any order."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also report.pdf: one page, printed by this machine's browser.")
    ] = False,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for every plot as SVG and csv, every table as csv.")
    ] = None,
) -> None:
    """Write report.html (one file that needs no other) and report.md: the answer, then what it rests on."""
    page = ht.report(runs, out=out, pdf=pdf, figures=figures)
    written = [page.html, page.markdown] + [page.html.with_suffix(".pdf")] * pdf + [figures] * (figures is not None)
    printed.console().print(f"report: {', '.join(map(str, written[:-1]))} and {written[-1]}")
