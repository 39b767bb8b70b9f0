"""Tissue by CLAM's method, with its parameters and presets."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from hage_transfer.config import TissueSettings

_REFERENCE_PX = 512


@dataclass(frozen=True, kw_only=True)
class ClamParameters:
    """CLAM's parameters under its own names.

    Attributes:
        sthresh: least saturation (HSV, 0 to 255), exclusive.
        mthresh: side of the median filter, pixels of the segmentation level.
        close: side of the square that closes gaps, pixels of the segmentation level; 0: none.
        use_otsu: Otsu's threshold instead of ``sthresh``.
        a_t: least area of a piece without its holes, in squares of 512 level-0 px.
        a_h: least area of a hole, likewise; smaller ones are filled.
        max_n_holes: largest holes of a piece that are kept.
    """

    sthresh: int = 8
    mthresh: int = 7
    close: int = 4
    use_otsu: bool = False
    a_t: float = 100
    a_h: float = 16
    max_n_holes: int = 8


PRESETS = {
    "default": ClamParameters(),
    "tcga": ClamParameters(sthresh=8, mthresh=7, close=4, a_t=16, a_h=4, max_n_holes=8),
    "biopsy": ClamParameters(sthresh=15, mthresh=11, close=2, a_t=1, a_h=1, max_n_holes=2),
    "resection": ClamParameters(sthresh=15, mthresh=11, close=4, a_t=100, a_h=16, max_n_holes=8),
}
"""Values of CLAM's presets bwh_biopsy, bwh_resection and tcga, and of its command line."""


def clam_parameters(settings: TissueSettings) -> ClamParameters:
    """The preset of a config, with what the config sets itself in its place."""
    own = {
        name: getattr(settings, name)
        for name in ("sthresh", "mthresh", "close", "use_otsu", "a_t", "a_h", "max_n_holes")
        if getattr(settings, name) is not None
    }
    return replace(PRESETS[settings.preset], **own)


def clam_mask(
    image: UInt8[np.ndarray, "height width 3"], parameters: ClamParameters, *, px_area_level0: float
) -> Bool[np.ndarray, "height width"]:
    """True where CLAM sees tissue.

    HSV saturation, median filter, threshold, closing; pieces (8-connected, with their holes taken off) above ``a_t``;
    of each piece's largest ``max_n_holes`` holes those above ``a_h`` stay holes, the others are filled.

    Args:
        image: the segmentation level, RGB.
        parameters: see ``ClamParameters``.
        px_area_level0: level-0 pixels in one pixel of ``image``.

    Source: Lu et al., Data-efficient and weakly supervised computational pathology on whole-slide images, 2021.
    """
    saturation = np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1])
    blurred = cv2.medianBlur(saturation, parameters.mthresh)
    kind = cv2.THRESH_BINARY | (cv2.THRESH_OTSU if parameters.use_otsu else 0)
    _, binary = cv2.threshold(blurred, parameters.sthresh, 1, kind)
    if parameters.close > 0:
        binary = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, np.ones((parameters.close, parameters.close), np.uint8))
    unit_px = _REFERENCE_PX**2 / px_area_level0
    return _filtered(
        binary, parameters, least_piece_px=parameters.a_t * unit_px, least_hole_px=parameters.a_h * unit_px
    )


def _filtered(
    binary: UInt8[np.ndarray, "height width"],
    parameters: ClamParameters,
    *,
    least_piece_px: float,
    least_hole_px: float,
) -> Bool[np.ndarray, "height width"]:
    contours, tree = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    mask = np.zeros_like(binary)
    if tree is None:
        return mask.astype(bool)
    parents = tree.reshape(-1, 4)[:, 3].tolist()
    inner: dict[int, list[np.ndarray]] = {k: [] for k, parent in enumerate(parents) if parent == -1}
    for k, parent in enumerate(parents):
        if parent != -1:
            inner[parent].append(contours[k])
    for piece, unsorted in inner.items():
        holes = sorted(unsorted, key=cv2.contourArea, reverse=True)
        area = cv2.contourArea(contours[piece]) - sum(map(cv2.contourArea, holes))
        if area <= least_piece_px:
            continue
        cv2.drawContours(mask, [contours[piece]], -1, 1, cv2.FILLED)
        kept = [hole for hole in holes[: parameters.max_n_holes] if cv2.contourArea(hole) > least_hole_px]
        if kept:
            inside = np.zeros_like(binary)
            cv2.drawContours(inside, kept, -1, 1, cv2.FILLED)
            mask[(inside == 1) & (binary == 0)] = 0  # a hole's contour runs on the tissue around it
    return mask.astype(bool)
