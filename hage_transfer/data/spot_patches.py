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
from hage_transfer.slides.slide import Slide

log = logging.getLogger(__name__)

_AHEAD_BYTES = 2**26


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
    section: ad.AnnData, *, size_px: int, mpp_um_per_px: float | None = None, first: int = 0
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Yields the RGB patch (uint8) centred on each spot, in the order of ``section.obs``.

    A patch that reaches over the image's edge is filled with white there; how many were is logged. Patches are cut from
    top to bottom, some ahead of their turn, so that an image in strips is not decoded anew for every spot.

    Args:
        section: a section with an image.
        size_px: side of the patch.
        mpp_um_per_px: resample to this resolution, micrometres per pixel; None: the image's own pixels.
        first: spot to begin at.

    Raises:
        DataError: no image, an image that cannot be read, a spot outside it, or a resolution that is not known.
    """
    facts = section.uns["section"]
    if not facts["image_path"]:
        raise DataError(f"section {facts['name']} has no image, so it has no patches; leave it out of data.sections")
    side = patch_size_level0_px(section, size_px=size_px, mpp_um_per_px=mpp_um_per_px)
    with open_picture(Path(facts["image_path"])) as image:
        if image.notes:
            log.info("%s: %s", image.path.name, "; ".join(image.notes))
        _refuse_outside(section, image)
        corners = np.floor(section.obsm["spatial"] - side / 2 + 0.5).astype(np.int64)
        _log_padded(facts["name"], corners, side, image)
        ahead = max(1, _AHEAD_BYTES // (size_px * size_px * 3))
        last: dict[int, np.ndarray] = {}
        for start in range(first, len(corners), ahead):
            yield from (last.pop(row) for row in sorted(last))
            rows = range(start, min(start + ahead, len(corners)))
            for row in sorted(rows, key=lambda row: (corners[row, 1], corners[row, 0])):
                left, top = corners[row].tolist()
                last[row] = image.read_square(left, top, size_level0_px=side, out_px=size_px)
    yield from (last.pop(row) for row in sorted(last))  # the image is gone before the next section's is decoded


def _refuse_outside(section: ad.AnnData, image: Slide) -> None:
    places = section.obsm["spatial"]
    inside = ((places >= 0) & (places < (image.width_px, image.height_px))).all(axis=1)
    if not inside.all():
        row = int(np.argmin(inside))
        x, y = places[row]
        name = section.uns["section"]["name"]
        raise DataError(
            f"{image.path}: spot {section.obs_names[row]} of section {name} at ({x:g}, {y:g}) lies outside the image "
            f"of {image.width_px} x {image.height_px} px"
        )


def _log_padded(name: str, corners: np.ndarray, side: int, image: Slide) -> None:
    padded = ((corners < 0) | (corners + side > (image.width_px, image.height_px))).any(axis=1).sum()
    if padded:
        log.info(
            "section %s: %d of %d patches reach over the image's edge and are filled with white",
            name,
            padded,
            len(corners),
        )
