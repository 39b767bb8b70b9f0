"""`hage demo`: the whole chain on synthetic tissue, from data to report."""

import time
from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed
from hage_transfer.cli.classify import show_differences, show_table
from hage_transfer.cli.gene_tables import show_gene_table
from hage_transfer.cli.heatmap import show_explained


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of the synthetic data and of training.", min=0)] = 0,
    device: options.Device = "auto",
    jobs: options.Jobs = 1,
    overwrite: options.Overwrite = False,
) -> None:
    """Make synthetic tissue with genes, then pretrain, probe, classify slides and report; minutes on two cores."""
    start = time.monotonic()
    runs = ht.demo(out, seed=seed, device=device, jobs=jobs, overwrite=overwrite)
    console = printed.console()
    show_explained(runs.explained, console)
    show_gene_table(runs.pretrain, console)
    for results in (runs.probe, runs.mil):
        show_table(results, console)
        show_differences(results, console)
    console.print(
        f"{time.monotonic() - start:.0f} s; open {runs.report.html}; `hage view {runs.mil.folder}` shows the slides",
    )
