"""Where the tissue is: Otsu's threshold on the saturation of a thumbnail."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

from hage_transfer.slides.reader import SlideReader

MASK_MPP_UM_PER_PX = 8.0
_MAX_THUMBNAIL_PX = 4096
_BLUR_PX = 7
_LEAST_SATURATION = 8
"""A threshold below this separates nothing but scanner noise on glass (CLAM's fixed threshold)."""
_LEAST_PIECE_UM2, _LEAST_HOLE_UM2 = 50_000.0, 50_000.0


@dataclass(frozen=True)
class TissueMask:
    """Tissue at the scale of a thumbnail.

    Attributes:
        mask: True where there is tissue.
        level0_px_per_px_x: level-0 pixels per mask pixel, along x.
        level0_px_per_px_y: along y (the thumbnail's sides are rounded, so the two differ a little).
    """

    mask: Bool[np.ndarray, "height width"]
    level0_px_per_px_x: float
    level0_px_per_px_y: float

    def share(self, coords: Int[np.ndarray, "tile 2"], *, size_level0_px: float) -> np.ndarray:
        """Share of tissue in each square with top-left ``coords``, 0 to 1."""
        height, width = self.mask.shape
        sums = cv2.integral(self.mask.astype(np.uint8)).astype(np.int64)
        left, right = _bounds(coords[:, 0], size_level0_px, self.level0_px_per_px_x, width)
        top, bottom = _bounds(coords[:, 1], size_level0_px, self.level0_px_per_px_y, height)
        inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        return inside / ((right - left) * (bottom - top))


def find_tissue(slide: SlideReader) -> TissueMask:
    """The tissue of a slide, at about 8 um per px (coarser for a slide larger than 4,096 such pixels)."""
    thumbnail = slide.thumbnail(mpp_um_per_px=MASK_MPP_UM_PER_PX, max_px=_MAX_THUMBNAIL_PX)
    height, width = thumbnail.shape[:2]
    x, y = slide.width_px / width, slide.height_px / height
    return TissueMask(tissue_mask(thumbnail, mpp_um_per_px=slide.mpp_um_per_px * x), x, y)


def tissue_mask(
    thumbnail: UInt8[np.ndarray, "height width 3"], *, mpp_um_per_px: float
) -> Bool[np.ndarray, "height width"]:
    """True where an RGB thumbnail shows tissue.

    Saturation (HSV), median blur, Otsu's threshold (at least 8 of 255, so that an empty slide stays empty), then pieces
    below 0.05 mm2 are removed and holes below it filled.
    """
    saturation = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2HSV)[..., 1]
    blurred = cv2.medianBlur(np.ascontiguousarray(saturation), _BLUR_PX)
    otsu, _ = cv2.threshold(blurred, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mask = blurred > max(otsu, _LEAST_SATURATION)
    mask = _without_small(mask, _LEAST_PIECE_UM2 / mpp_um_per_px**2)
    return ~_without_small(~mask, _LEAST_HOLE_UM2 / mpp_um_per_px**2)


def _without_small(mask: Bool[np.ndarray, "height width"], least_px: float) -> Bool[np.ndarray, "height width"]:
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = facts[:, cv2.CC_STAT_AREA] >= least_px
    keep[0] = False  # the component of everything that is not in the mask
    return keep[labels]


def _bounds(start: np.ndarray, size: float, scale: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask pixels that a span covers, at least one."""
    low = np.clip(np.floor(start / scale + 0.5).astype(int), 0, limit - 1)
    high = np.clip(np.floor((start + size) / scale + 0.5).astype(int), low + 1, limit)
    return low, high
