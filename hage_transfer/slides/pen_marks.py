"""Ink on the glass: blue, green, red and black strokes of a marker pen, found by hue, saturation and darkness."""

import math

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

_LEAST_STROKE_UM2 = 20_000.0
_STROKE_RADIUS_UM = 12.0
_RIM_UM = 48.0
# Hue runs from 0 to 179 in OpenCV. Eosin lies at 140 to 172, haematoxylin at 114 to 150 (and is seldom as saturated as
# ink), DAB's brown at 5 to 20 and darker than ink. (lowest hue, highest hue, least saturation)
_BLUE, _DEEP_BLUE, _GREEN, _RED = (90, 118, 130), (90, 126, 185), (35, 89, 60), (174, 6, 170)
_RED_VALUE = 140
_BLACK_VALUE, _BLACK_CHROMA = 75, 28


def pen_mask(
    thumbnail: UInt8[np.ndarray, "height width 3"], *, mpp_um_per_px: float
) -> Bool[np.ndarray, "height width"]:
    """True where an RGB thumbnail shows ink, or the black that a scanner leaves where it took nothing.

    A stroke is at least 0.02 mm2 of ink; its pale rim within 48 um belongs to it.

    Args:
        thumbnail: RGB.
        mpp_um_per_px: its resolution.
    """
    hsv = cv2.cvtColor(cv2.medianBlur(thumbnail, 3), cv2.COLOR_RGB2HSV)
    strong = _ink(hsv, saturation_factor=1.0)
    radius = max(1, round(_STROKE_RADIUS_UM / mpp_um_per_px))
    core = cv2.morphologyEx(strong, cv2.MORPH_OPEN, _disc(radius))
    if not cv2.countNonZero(core):
        return core.astype(bool)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    keep = facts[:, cv2.CC_STAT_AREA] >= _LEAST_STROKE_UM2 / mpp_um_per_px**2
    keep[0] = False
    core = keep[labels].astype(np.uint8)
    if not core.any():
        return core.astype(bool)
    near = cv2.dilate(core, _disc(max(1, round(_RIM_UM / mpp_um_per_px))))
    rim = cv2.dilate(core, _disc(max(1, round(_RIM_UM / 2 / mpp_um_per_px))))
    return ((near & _ink(hsv, saturation_factor=0.5)) | rim).astype(bool)


def _ink(hsv: UInt8[np.ndarray, "height width 3"], *, saturation_factor: float) -> UInt8[np.ndarray, "height width"]:
    """1 where a pixel has the colour of ink."""
    hue, saturation, value = cv2.split(hsv)

    def saturated(*colours: tuple[int, int, int]) -> np.ndarray:
        beyond = np.full(256, 255, np.uint8)  # of each hue: ink is more saturated; none is
        for low, high, least in colours:
            hues = [*range(low, high + 1)] if low <= high else [*range(low, 256), *range(high + 1)]
            beyond[hues] = np.minimum(beyond[hues], math.ceil(least * saturation_factor) - 1)
        inside: np.ndarray = saturation > cv2.LUT(hue, beyond)
        return inside

    found = saturated(_BLUE, _DEEP_BLUE, _GREEN) | (saturated(_RED) & (value >= _RED_VALUE))
    dark = value <= _BLACK_VALUE
    if dark.any():
        found |= dark & (cv2.multiply(saturation, value, dtype=cv2.CV_16U) <= _BLACK_CHROMA * 255)
    return found.view(np.uint8)


def _disc(radius_px: int) -> UInt8[np.ndarray, "side side"]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
