"""Tissue without tuning: what is stained and has texture, or is strongly stained; glass has neither."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_WINDOW_UM = 40.0
_CLOSE_UM = 24.0
_LEAST_STAIN, _STRONG_STAIN, _STAINED_HOLE = 8.0, 40.0, 12.0
_LEAST_TEXTURE, _MOST_TEXTURE, _NOISE_FACTOR = 6.0, 10.0, 4.0
_GREY_CHROMA, _GREY_FACTOR = 6.0, 0.5
_PALE_GLASS = 200


def tissue_mask(
    thumbnail: UInt8[np.ndarray, "height width 3"],
    *,
    mpp_um_per_px: float,
    pen: Bool[np.ndarray, "height width"] | None = None,
    min_piece_um2: float = 50_000.0,
    min_hole_um2: float = 15_000.0,
) -> Bool[np.ndarray, "height width"]:
    """True where an RGB thumbnail shows tissue.

    Stain is the colour that is left (largest minus smallest channel) when the glass's own colour is divided out; in a
    grey image it is darkness. Texture is the standard deviation of green within 40 um: on glass, also where eosin has
    blushed it, it is below 2 of 255, in tissue, also pale or fatty, above 8. A pixel is tissue where its window is
    stained (8 of 255) and textured (6, or 4 times what the palest quarter of the slide shows, at most 10), or so
    strongly stained (40) that texture does not matter. There is no threshold between two groups, so a slide of
    glass alone stays empty and one of tissue alone is not split. Gaps of 24 um are closed; pieces below
    ``min_piece_um2`` are removed; holes below ``min_hole_um2``, or as stained as tissue, are filled. Ink is left out.

    Args:
        thumbnail: RGB.
        mpp_um_per_px: its resolution.
        pen: ink, see ``pen_mask``.
        min_piece_um2: least area of a piece.
        min_hole_um2: least area of a hole.
    """
    seen = np.ones(thumbnail.shape[:2], bool) if pen is None else ~pen
    window = 2 * max(1, round(_WINDOW_UM / mpp_um_per_px / 2)) + 1
    stain = stain_strength(thumbnail, seen=seen)
    near = cv2.blur(stain, (window, window))
    texture = _texture(thumbnail[..., 1], window)
    found = (near > _LEAST_STAIN) & (texture > _texture_threshold(texture, thumbnail, seen))
    found |= near > _STRONG_STAIN
    # a window that looks over the edge of the tissue sees it from half its side away: taken back here
    found = cv2.erode(found.astype(np.uint8), np.ones((window - 2, window - 2), np.uint8)).astype(bool) & seen
    found = _closed(found, max(1, round(_CLOSE_UM / mpp_um_per_px)))
    found = without_small(found, min_piece_um2 / mpp_um_per_px**2)
    return _without_holes(found, near, min_hole_um2 / mpp_um_per_px**2) & seen


def stain_strength(
    thumbnail: UInt8[np.ndarray, "height width 3"], *, seen: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """How strongly each pixel is stained, 0 to 255: colour beyond the glass's own; darkness where all is grey."""
    balanced = np.minimum(thumbnail.astype(np.float32) * (255.0 / glass_colour(thumbnail, seen=seen)), 255.0)
    red, green, blue = (balanced[..., k] for k in range(3))  # five times faster than a reduction over three
    high = np.maximum(np.maximum(red, green), blue)
    chroma: np.ndarray = high - np.minimum(np.minimum(red, green), blue)
    if seen.any() and np.percentile(chroma[seen], 99) <= _GREY_CHROMA:
        return (255.0 - high) * _GREY_FACTOR
    return chroma


def glass_colour(
    thumbnail: UInt8[np.ndarray, "height width 3"], *, seen: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "3"]:
    """Colour of bare glass: the median of the brighter quarter of all pale pixels, white where there is no pale one.

    Pure white is left out: it is what a reader puts where a scanner took nothing.
    """
    red, green, blue = (thumbnail[..., k] for k in range(3))
    darkest = np.minimum(np.minimum(red, green), blue)
    pale = seen & (darkest >= _PALE_GLASS) & (darkest < 255)
    if not pale.any():
        return np.full(3, 255.0, np.float32)
    brightness = red.astype(np.uint16) + green + blue
    bright = pale & (brightness >= np.percentile(brightness[pale], 75))
    return np.median(thumbnail[bright], axis=0).astype(np.float32)


def without_small(mask: Bool[np.ndarray, "height width"], least_px: float) -> Bool[np.ndarray, "height width"]:
    """The pieces (8-connected) of a mask that have at least ``least_px`` pixels."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = facts[:, cv2.CC_STAT_AREA] >= least_px
    keep[0] = False  # the component of everything that is not in the mask
    return keep[labels]


def _texture(green: UInt8[np.ndarray, "height width"], window: int) -> Float[np.ndarray, "height width"]:
    values = green.astype(np.float32)
    mean = cv2.blur(values, (window, window))
    variance = cv2.blur(values * values, (window, window)) - mean * mean
    return np.sqrt(np.maximum(variance, 0.0))


def _texture_threshold(
    texture: Float[np.ndarray, "height width"],
    thumbnail: UInt8[np.ndarray, "height width 3"],
    seen: Bool[np.ndarray, "height width"],
) -> float:
    if not seen.any():
        return _LEAST_TEXTURE
    green = thumbnail[..., 1][seen]
    noise = float(np.median(texture[seen][green >= np.percentile(green, 75)]))
    return min(max(_NOISE_FACTOR * noise, _LEAST_TEXTURE), _MOST_TEXTURE)


def _closed(mask: Bool[np.ndarray, "height width"], radius_px: int) -> Bool[np.ndarray, "height width"]:
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc).astype(bool)


def _without_holes(
    mask: Bool[np.ndarray, "height width"], stain: Float[np.ndarray, "height width"], least_px: float
) -> Bool[np.ndarray, "height width"]:
    """Fills holes that are small, or as stained as tissue (mucin, cartilage: smooth, yet no glass)."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    left, top = facts[:, cv2.CC_STAT_LEFT], facts[:, cv2.CC_STAT_TOP]
    right, bottom = left + facts[:, cv2.CC_STAT_WIDTH], top + facts[:, cv2.CC_STAT_HEIGHT]
    open_ = (left == 0) | (top == 0) | (right == mask.shape[1]) | (bottom == mask.shape[0])
    area = facts[:, cv2.CC_STAT_AREA]
    mean = np.bincount(labels.ravel(), stain.ravel(), minlength=count) / np.maximum(area, 1)
    fill = (area < least_px) | ((mean > _STAINED_HOLE) & ~open_)
    fill[0] = False
    return mask | fill[labels]
