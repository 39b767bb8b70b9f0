"""`hage heatmap`: why slides were called: attention as pictures, GeoJSON, tables, and the genes of deciding tiles."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import options, printed

_ENCODER_HELP = (
    "Encoder directory (or a glob, or a pretraining run) whose genes are read; without it the source's own, for "
    "`frozen` that of the run's gene-informed source."
)
_SLIDES_HELP = "Folder of the slides, where the run was made of feature files or the slides have moved."

_SHOWN = 5


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def heatmap(
        run: Annotated[Path, typer.Argument(help="Run directory of `hage mil`.")],
        source: Annotated[
            list[str] | None, typer.Option(help="Feature source to explain; repeatable; without it every one.")
        ] = None,
        slide: Annotated[
            list[str] | None, typer.Option(help="Slide to explain; repeatable; without it every tested one.")
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Folder to write to; without it <run>/heatmaps.")] = None,
        top: Annotated[
            int, typer.Option(help="Tiles of highest (and of lowest) attention on a contact sheet.", min=1)
        ] = 8,
        deciding: Annotated[
            float, typer.Option(help="Share of a slide's tiles, by attention, that count as deciding.")
        ] = 0.1,
        genes: Annotated[
            bool, typer.Option(help="Predict expression and compare deciding tiles with the rest.")
        ] = True,
        encoder: Annotated[list[str] | None, typer.Option(help=_ENCODER_HELP)] = None,
        slides: Annotated[Path | None, typer.Option(help=_SLIDES_HELP)] = None,
        device: options.Device = "auto",
        jobs: options.Jobs = 1,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Make anew what is there already.")] = False,
    ) -> None:
        """Explain slides by the models of the fold that tested them: maps, GeoJSON for QuPath, tiles and genes."""
        console = printed.console()
        try:
            found = ht.explain(
                run,
                source=source or (),
                slides=slide or (),
                out=out,
                genes=genes,
                encoders=encoder or (),
                top=top,
                deciding=deciding,
                slide_folder=slides,
                device=device,
                jobs=jobs,
                overwrite=overwrite,
            )
        except ht.ItemsFailedError as error:
            show_explained(error.done, console)
            raise
        show_explained(found, console)
        console.print(f"heatmaps: {found.folder}")


def show_explained(found: Any, console: Console) -> None:
    """Prints the genes of largest mean effect of every source and predicted class."""
    for source, rows in found.over_slides.items():
        show_genes(rows, source, console)


def show_genes(rows: Sequence[Mapping[str, Any]], source: str, console: Console) -> None:
    """Prints the genes of largest mean effect of every predicted class."""
    for predicted in dict.fromkeys(row["predicted"] for row in rows):
        best = [row for row in rows if row["predicted"] == predicted][:_SHOWN]
        text = ", ".join(f"{row['gene']} {row['mean_rank_biserial']:+.2f}{_worth(row)}" for row in best)
        where = f"source {source}, called {predicted}" if predicted else f"source {source}"
        why = f" [{best[0]['reason']}]" if best[0]["reason"] else ""
        console.print(
            f"{where} ({best[0]['n_slides']} slides): genes of the deciding tiles, mean rank-biserial: {text}{why}",
            highlight=False,
        )


def _worth(row: Mapping[str, Any]) -> str:
    """What there is of q and of how well the gene is predicted."""
    known = [f"q {row['q_value']:.2g}"] if isfinite(row["q_value"]) else []
    known += [f"held-out PCC {row['heldout_pcc']:.2f}"] if isfinite(row["heldout_pcc"]) else []
    return f" ({', '.join(known)})" if known else ""
