"""The patch of H&E around each spot, as the frozen encoder sees it."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
from jaxtyping import UInt8

from hage_transfer.errors import DataError
from hage_transfer.slides.reader import open_picture

log = logging.getLogger(__name__)


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
    with open_picture(path) as image:
        if image.notes:
            log.info("%s: %s", path.name, "; ".join(image.notes))
        for spot, (x, y) in zip(section.obs_names, section.obsm["spatial"], strict=True):
            if not (0 <= x < image.width_px and 0 <= y < image.height_px):
                raise DataError(
                    f"{path}: spot {spot} of section {facts['name']} at ({x:g}, {y:g}) lies outside the image of "
                    f"{image.width_px} x {image.height_px} px"
                )
            left, top = math.floor(x - side / 2 + 0.5), math.floor(y - side / 2 + 0.5)
            padded += left < 0 or top < 0 or left + side > image.width_px or top + side > image.height_px
            yield image.read_square(left, top, size_level0_px=side, out_px=size_px)
    if padded:
        log.info(
            "section %s: %d of %d patches reach over the image's edge and are filled with white",
            facts["name"],
            padded,
            section.n_obs,
        )
