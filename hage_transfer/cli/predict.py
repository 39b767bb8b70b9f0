"""`hage predict`: expression of sections or of every tile of slides, with maps and the genes that regions attend to."""

from pathlib import Path
from typing import Annotated, Any

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed

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
        if not encoder or out is None:
            raise ht.ConfigError("hage predict needs --encoder (encoder directories) and --out (a folder)")
        try:
            found = ht.predict(
                encoder,
                out=out,
                config=config,
                changes=set_ or (),
                features=features,
                slides=slides,
                sections=_names(sections),
                genes=_names(genes),
                n_maps=n_maps,
                attention=attention,
                regions=regions,
                spot_diameter_um=spot_diameter_um,
                allow_trained=allow_trained,
                seed=seed,
                device=device,
                overwrite=overwrite,
            )
        except ht.ItemsFailedError as error:
            _show(error.done)
            raise
        _show(found)


def _show(found: Any) -> None:
    """A line a section or slide: how much was predicted, how well, what was drawn."""
    console = printed.console()
    for one in found.summaries:
        text = f"{one['name']}: {one['rows']} {one['of']}, {one['genes']} genes, {one['encoders']} encoders; "
        if one["pcc_all"] is None:
            text += "no counts, so no PCC"
        else:
            text += f"PCC all {one['pcc_all']:.3f}, {one['constant_genes']} genes constant"
        text += f"; drawn: {one['drawn'] or 'none'}" + " (TRAINED on this section)" * one["trained_on"]
        console.print(text, highlight=False)
    console.print(f"{found.folder}: {len(found)} predicted", highlight=False)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in (text or "").split(",")) if name)
