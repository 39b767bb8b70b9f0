"""`hage convert`: feature files between this project's form, CLAM's, TRIDENT's and plain tensors."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import hage_transfer as ht
from hage_transfer.cli import printed

Features = Annotated[
    Path, typer.Argument(metavar="FEATURES", help="A feature file, or a folder of them, of any of the layouts.")
]
To = Annotated[Literal["hage", "clam", "trident", "pt"], typer.Option(help="The layout to write.")]
Folder = Annotated[Path, typer.Option(help="Folder to write to.")]
Coords = Annotated[
    Path | None,
    typer.Option(help="File or folder of coords (CLAM, TRIDENT: patches), for files that hold none or no patch size."),
]
Name = Annotated[str | None, typer.Option("--encoder-name", help="Frozen encoder, by this project's name (uni, ...).")]
Hash = Annotated[str | None, typer.Option("--encoder-sha256", help="Hash of the encoder's weights.")]
Licence = Annotated[str | None, typer.Option(help="Licence of the encoder's weights.")]
Precision = Annotated[str | None, typer.Option(help="Arithmetic of the encoder: float32, float16, bfloat16.")]
Mpp = Annotated[float | None, typer.Option("--mpp", help="um per px that the encoder saw.", min=1e-6)]
Size = Annotated[
    int | None, typer.Option("--patch-size", help="Side of a tile as the encoder was given it, px.", min=1)
]
Size0 = Annotated[int | None, typer.Option("--patch-size-level0", help="Side of a tile at level 0, px.", min=1)]
Magnification = Annotated[float | None, typer.Option(help="trident: magnification of the tiles.", min=1e-6)]
Level0 = Annotated[
    float | None,
    typer.Option("--level0-magnification", help="trident: of level 0; else from the two patch sizes.", min=1e-6),
]
SlideMpp = Annotated[
    float | None, typer.Option("--slide-mpp", help="um per px of level 0, for coords in um (STAMP).", min=1e-6)
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", help="h5: name of the rows where it is neither features nor feats.")
]
Overlap = Annotated[int | None, typer.Option(help="trident: overlap of neighbouring tiles, px.", min=0)]


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("convert")(convert)


def convert(
    features: Features,
    to: To,
    out: Folder,
    coords: Coords = None,
    encoder_name: Name = None,
    encoder_sha256: Hash = None,
    licence: Licence = None,
    precision: Precision = None,
    mpp: Mpp = None,
    patch_size: Size = None,
    patch_size_level0: Size0 = None,
    magnification: Magnification = None,
    level0_magnification: Level0 = None,
    overlap: Overlap = None,
    slide_mpp: SlideMpp = None,
    dataset: Dataset = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that hold something else.")] = False,
) -> None:
    """Convert feature files between layouts; rows and coords stay as they are, nothing is guessed.

    What a file does not record and no option says is written as unknown. Run again, it does what is left.
    """
    found = ht.convert(
        features,
        to=to,
        out=out,
        coords=coords,
        encoder_name=encoder_name,
        encoder_sha256=encoder_sha256,
        licence=licence,
        precision=precision,
        mpp_um_per_px=mpp,
        patch_size_px=patch_size,
        patch_size_level0_px=patch_size_level0,
        magnification=magnification,
        level0_magnification=level0_magnification,
        overlap_px=overlap,
        slide_mpp_um_per_px=slide_mpp,
        dataset=dataset,
        overwrite=overwrite,
    )
    printed.console().print(str(found))
