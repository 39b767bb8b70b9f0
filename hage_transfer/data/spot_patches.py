"""The patch of H&E around each spot, as the frozen encoder sees it."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anndata as ad
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hage_transfer.data.section_image import is_pyramid, open_slide, read_image
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

WHITE = 255
# (left, top) and side at level 0, side of the patch -> RGB; the square lies in the image at least in part.
_Cut = Callable[[int, int, int, int], UInt8[np.ndarray, "side side 3"]]


def patch_size_level0_px(section: ad.AnnData, *, size_px: int, mpp_um_per_px: float | None = None) -> int:
    """Side at level 0 of the square that becomes a patch of ``size_px`` at ``mpp_um_per_px`` (None: the image's own).

    Raises:
        DataError: a resolution is wanted and the section's is not known.
    """
    if mpp_um_per_px is None:
        return size_px
    facts = section.uns["section"]
    if not math.isfinite(facts["mpp_um_per_px"]):
        raise DataError(
            f"section {facts['name']}: patches of {mpp_um_per_px:g} um/px are wanted and the resolution of "
            f"{facts['image_path']} is not known; give it as data.mpp_um_per_px"
        )
    return max(1, round(size_px * mpp_um_per_px / facts["mpp_um_per_px"]))


def iter_spot_patches(
    section: ad.AnnData, *, size_px: int, mpp_um_per_px: float | None = None
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Yields the RGB patch (uint8) centred on each spot, in the order of ``section.obs``.

    A patch that reaches over the image's edge is filled with white there; how many were is logged.

    Args:
        section: a section with an image.
        size_px: side of the patch.
        mpp_um_per_px: resample to this resolution, micrometres per pixel; None: the image's own pixels.

    Raises:
        DataError: no image, an image that cannot be read, a spot outside it, or a resolution that is not known.
    """
    facts = section.uns["section"]
    if not facts["image_path"]:
        raise DataError(f"section {facts['name']} has no image, so it has no patches; leave it out of data.sections")
    side = patch_size_level0_px(section, size_px=size_px, mpp_um_per_px=mpp_um_per_px)
    path = Path(facts["image_path"])
    padded = 0
    with (_slide_cutter if is_pyramid(path) else _image_cutter)(path) as (width, height, cut):
        for spot, (x, y) in zip(section.obs_names, section.obsm["spatial"], strict=True):
            if not (0 <= x < width and 0 <= y < height):
                raise DataError(
                    f"{path}: spot {spot} of section {facts['name']} at ({x:g}, {y:g}) lies outside the image of "
                    f"{width} x {height} px"
                )
            left, top = math.floor(x - side / 2 + 0.5), math.floor(y - side / 2 + 0.5)
            padded += left < 0 or top < 0 or left + side > width or top + side > height
            yield cut(left, top, side, size_px)
    if padded:
        log.info(
            "section %s: %d of %d patches reach over the image's edge and are filled with white",
            facts["name"],
            padded,
            section.n_obs,
        )


@contextmanager
def _image_cutter(path: Path) -> Iterator[tuple[int, int, _Cut]]:
    """Cuts from an image that is read once, whole."""
    image = read_image(path)
    height, width = image.shape[:2]

    def cut(left: int, top: int, side: int, size_px: int) -> UInt8[np.ndarray, "size_px size_px 3"]:
        square = np.full((side, side, 3), WHITE, dtype=np.uint8)
        x, y = max(left, 0), max(top, 0)
        inside = image[y : max(top + side, 0), x : max(left + side, 0)]
        square[y - top : y - top + inside.shape[0], x - left : x - left + inside.shape[1]] = inside
        return _resample(square, size_px)

    yield width, height, cut


@contextmanager
def _slide_cutter(path: Path) -> Iterator[tuple[int, int, _Cut]]:
    """Cuts from a slide pyramid, from the level that is just finer than the patch."""
    with open_slide(path) as slide:
        width, height = slide.dimensions

        def cut(left: int, top: int, side: int, size_px: int) -> UInt8[np.ndarray, "size_px size_px 3"]:
            level = slide.get_best_level_for_downsample(max(1.0, side / size_px))
            region_px = max(1, round(side / slide.level_downsamples[level]))
            region = slide.read_region((left, top), level, (region_px, region_px))
            white = Image.new("RGBA", region.size, (WHITE, WHITE, WHITE, WHITE))
            return _resample(np.asarray(Image.alpha_composite(white, region).convert("RGB")), size_px)

        yield int(width), int(height), cut


def _resample(square: UInt8[np.ndarray, "side side 3"], size_px: int) -> UInt8[np.ndarray, "size_px size_px 3"]:
    if len(square) == size_px:
        return square
    # Pillow's bicubic widens its kernel when it shrinks, so fine texture does not alias.
    return np.asarray(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.BICUBIC))
