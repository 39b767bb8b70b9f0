"""`hage predict`: expression of sections or of every tile of slides, with maps and the genes that regions attend to."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hage_transfer.cli import options

_SECTIONS_HELP = "Sections of CONFIG, comma-separated; without it every one that the encoders did not train on."
_REGIONS_HELP = (
    "Regions whose attention is compared: a number (k-means on embeddings), a csv `section,spot,region`, or the "
    "obs column of an AnnData section."
)


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def predict(
        config: Annotated[Path | None, typer.Argument(help="Config of `hage pretrain`: predict its sections.")] = None,
        encoder: Annotated[
            list[str] | None,
            typer.Option(help="Encoder directory, a glob of several (they are averaged), or a pretraining run."),
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
        features: Annotated[
            Path | None, typer.Option(help="Feature file of a slide, or a folder of them: predict every tile.")
        ] = None,
        slides: Annotated[Path | None, typer.Option(help="Folder of the slides, to draw maps beside the H&E.")] = None,
        sections: Annotated[str | None, typer.Option(help=_SECTIONS_HELP)] = None,
        genes: Annotated[
            str | None, typer.Option(help="Genes to draw, comma-separated; without it the best-predicted few.")
        ] = None,
        n_maps: Annotated[int, typer.Option(help="How many genes are drawn where --genes names none.", min=0)] = 3,
        attention: Annotated[bool, typer.Option(help="Table and maps of gene attention by region.")] = True,
        regions: Annotated[str, typer.Option(help=_REGIONS_HELP)] = "6",
        spot_diameter_um: Annotated[
            float | None, typer.Option(help="Diameter of a spot; without it the layout's own.", min=0.1)
        ] = None,
        allow_trained: Annotated[
            bool, typer.Option("--allow-trained", help="Predict sections that an encoder trained on, and say so.")
        ] = False,
        set_: options.Set = None,
        seed: Annotated[int, typer.Option(help="Of the k-means of --regions.", min=0)] = 0,
        device: options.Device = "auto",
        overwrite: options.Overwrite = False,
    ) -> None:
        """Predict expression of held-out sections, or of every tile of slides: AnnData files, tables and maps."""
        from rich.console import Console

        from hage_transfer.encode.sources import find_encoder_directories
        from hage_transfer.errors import ConfigError, ItemsFailedError
        from hage_transfer.predict.items import section_items, slide_items
        from hage_transfer.predict.run import run_predict
        from hage_transfer.predict.tasks import PredictSettings
        from hage_transfer.running.devices import resolve_device
        from hage_transfer.running.progress import shown

        if not encoder or out is None:
            raise ConfigError("hage predict needs --encoder (encoder directories) and --out (a folder)")
        if config is not None and features is not None:
            raise ConfigError("give either CONFIG (ST sections) or --features (feature files of slides), not both")
        if features is not None and (sections or set_ or spot_diameter_um):
            raise ConfigError("--sections, --set and --spot-diameter-um go with CONFIG, not with --features")
        if config is not None and slides is not None:
            raise ConfigError("--slides goes with --features; sections have their images in CONFIG's data")
        folders = find_encoder_directories(encoder)
        if features is not None:
            items = slide_items(features, slides)
        elif config is not None:
            items = section_items(config, set_ or (), _names(sections), spot_diameter_um=spot_diameter_um)
        else:
            raise ConfigError("give CONFIG (ST sections) or --features (feature files of slides)")
        settings = PredictSettings(
            genes=_names(genes),
            n_maps=n_maps,
            attention=attention,
            regions=regions,
            seed=seed,
            allow_trained=allow_trained,
            named=sections is not None,
        )
        console = Console()
        try:
            with shown("predict") as progress:
                found = run_predict(
                    items,
                    folders,
                    settings,
                    out=out,
                    device=resolve_device(device),
                    overwrite=overwrite,
                    progress=progress,
                )
        except ItemsFailedError as error:
            _show(error.done, console)
            raise
        _show(found, console)
        console.print(f"{out}: {len(found)} predicted", markup=False, highlight=False, soft_wrap=True)


def _show(found: Any, console: Any) -> None:
    for one in found:
        console.print(one.summary, markup=False, highlight=False, soft_wrap=True)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in (text or "").split(",")) if name)
