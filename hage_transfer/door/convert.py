"""`convert`: feature files between this project's layout and those of other tools."""

from pathlib import Path
from typing import Literal

from hage_transfer.data.feature_layouts import Given, TridentGrid
from hage_transfer.door.given import PathLike
from hage_transfer.encode.convert import Converted, convert_path
from hage_transfer.errors import ConfigError
from hage_transfer.running.progress import Progress, shown
from hage_transfer.slides.resolution import PLAUSIBLE_MPP, plausible


def convert(
    features: PathLike,
    *,
    to: Literal["hage", "clam", "trident", "pt"],
    out: PathLike,
    coords: PathLike | None = None,
    encoder_name: str | None = None,
    encoder_sha256: str | None = None,
    licence: str | None = None,
    precision: str | None = None,
    mpp_um_per_px: float | None = None,
    patch_size_px: int | None = None,
    patch_size_level0_px: int | None = None,
    magnification: float | None = None,
    level0_magnification: float | None = None,
    overlap_px: int | None = None,
    slide_mpp_um_per_px: float | None = None,
    dataset: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Converts feature files between layouts; rows and coords stay as they are, nothing is guessed.

    What a file does not record and no argument says is written as unknown. Run again, it does what is left.

    Args:
        features: a feature file, or a folder of them, of any of the layouts.
        to: the layout to write.
        out: folder to write to.
        coords: file or folder of coords (CLAM, TRIDENT: patches), for files that hold none or no patch size.
        encoder_name: frozen encoder, by this project's name.
        encoder_sha256: hash of its weights.
        licence: of its weights.
        precision: its arithmetic: float32, float16, bfloat16.
        mpp_um_per_px: resolution that it saw.
        patch_size_px: side of a tile as it was given.
        patch_size_level0_px: side of a tile at level 0.
        magnification: TRIDENT: of the tiles.
        level0_magnification: TRIDENT: of level 0; None: from the two patch sizes.
        overlap_px: TRIDENT: of neighbouring tiles.
        slide_mpp_um_per_px: resolution of level 0, for coords in um (STAMP).
        dataset: name of the rows in an h5, where it is neither ``features`` nor ``feats``.
        overwrite: replace files that hold something else.
        progress: called with (done, total, name) as each file ends.

    Raises:
        InputError: um per px of no slide, nothing to convert, output in the input's place, or no file can be converted.
        ItemsFailedError: some files failed; they are in ``failures.csv``, the rest are done.
    """
    for name, mpp in (("mpp_um_per_px", mpp_um_per_px), ("slide_mpp_um_per_px", slide_mpp_um_per_px)):
        if mpp is not None and not plausible(mpp):
            raise ConfigError(f"{name}={mpp:g}: um per px of slides are {PLAUSIBLE_MPP[0]:g} to {PLAUSIBLE_MPP[1]:g}")
    given = Given(
        encoder=encoder_name,
        encoder_sha256=encoder_sha256,
        encoder_licence=licence,
        precision=precision,
        mpp_um_per_px=mpp_um_per_px,
        patch_size_px=patch_size_px,
        patch_size_level0_px=patch_size_level0_px,
        slide_mpp_um_per_px=slide_mpp_um_per_px,
        dataset=dataset,
    )
    grid = TridentGrid(
        target_magnification=magnification, overlap=overlap_px, level0_magnification=level0_magnification
    )
    with shown("convert", progress) as tell:
        return convert_path(
            Path(features),
            to=to,
            out=Path(out),
            given=given,
            grid=grid,
            coords=None if coords is None else Path(coords),
            overwrite=overwrite,
            progress=tell,
        )
