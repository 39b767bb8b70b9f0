"""`hage heatmap`: why slides were called: attention as pictures, GeoJSON, tables, and the genes of deciding tiles."""

from pathlib import Path
from typing import Annotated

import typer

from hage_transfer.cli import options
from hage_transfer.heatmap_files import HEATMAPS_FOLDER

_ENCODER_HELP = (
    "Encoder directory (or a glob, or a pretraining run) whose genes are read; without it the source's own, for "
    "`frozen` that of the run's gene-informed source."
)
_SLIDES_HELP = "Folder of the slides, where the run was made of feature files or the slides have moved."


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
        from hage_transfer.errors import ConfigError
        from hage_transfer.explain.run import HeatmapOptions, run_heatmap
        from hage_transfer.running.devices import resolve_device

        if not 0 < deciding < 1:
            raise ConfigError(f"--deciding {deciding:g}: a share between 0 and 1, for example 0.1")
        if encoder and not genes:
            raise ConfigError("--encoder says whose genes are read, and --no-genes reads none; give one of them")
        run_heatmap(
            run,
            HeatmapOptions(
                sources=tuple(source or ()),
                slides=tuple(slide or ()),
                top=top,
                share=deciding,
                genes=genes,
                encoders=tuple(encoder or ()),
                slide_folder=slides,
            ),
            out=out or run / HEATMAPS_FOLDER,
            device=resolve_device(device),
            jobs=jobs,
            overwrite=overwrite,
        )
