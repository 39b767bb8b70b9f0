"""Tissue without tuning: what is stained and has texture, or is strongly stained; glass has neither."""

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

_WINDOW_UM = 40.0
_CLOSE_UM = 24.0
_LEAST_STAIN, _STRONG_STAIN, _STAINED_HOLE = 8.0, 40.0, 12.0
_LEAST_TEXTURE, _MOST_TEXTURE, _NOISE_FACTOR = 6.0, 10.0, 4.0
_GREY_CHROMA, _GREY_SHARE, _GREY_FACTOR = 6.0, 0.01, 0.5
_PALE_GLASS = 200
_COUNTED_PX = 100_000


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
    variance = _variance(np.ascontiguousarray(thumbnail[..., 1]), window)
    found = (near > _LEAST_STAIN) & (variance > _texture_threshold(variance, thumbnail[..., 1], seen) ** 2)
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
    factors = np.float32(255.0) / glass_colour(thumbnail, seen=seen)
    values = np.arange(256, dtype=np.float32)
    red, green, blue = (
        cv2.LUT(plane, np.minimum(values * factor, np.float32(255.0)))
        for plane, factor in zip(cv2.split(thumbnail), factors, strict=True)
    )
    high = cv2.max(red, green)
    low = cv2.min(red, green, dst=red)
    high, low = cv2.max(high, blue, dst=high), cv2.min(low, blue, dst=low)
    chroma: np.ndarray = cv2.subtract(high, low, dst=low)
    if seen.any() and np.count_nonzero((chroma > _GREY_CHROMA) & seen) <= _GREY_SHARE * np.count_nonzero(seen):
        return (255.0 - high) * _GREY_FACTOR
    return chroma


def glass_colour(
    thumbnail: UInt8[np.ndarray, "height width 3"], *, seen: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, " 3"]:
    """Colour of bare glass: the median of the brighter quarter of all pale pixels, white where there is no pale one.

    Pure white is left out: it is what a reader puts where a scanner took nothing. A large thumbnail is looked at in
    every second, third, ... pixel of both axes.
    """
    step = _step(seen)
    seen = seen[::step, ::step]
    red, green, blue = planes = cv2.split(np.ascontiguousarray(thumbnail[::step, ::step]))
    darkest = cv2.min(cv2.min(red, green), blue)
    pale = seen & (darkest >= _PALE_GLASS) & (darkest < 255)
    if not pale.any():
        return np.full(3, 255.0, np.float32)
    brightness = cv2.add(cv2.add(red, green, dtype=cv2.CV_16U), blue, dtype=cv2.CV_16U)
    least = percentile(brightness, 75, values=766, mask=pale)
    bright = pale & (brightness >= least)
    return np.array([percentile(plane, 50, values=256, mask=bright) for plane in planes], np.float32)


def percentile(
    image: UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"],
    share: float,
    *,
    values: int,
    mask: Bool[np.ndarray, "height width"],
) -> float:
    """``numpy.percentile`` of the whole numbers below ``values`` under ``mask``: counted, not sorted."""
    counts = cv2.calcHist([image], [0], mask.view(np.uint8), [values], [0, values]).ravel().astype(np.int64)
    upto = np.cumsum(counts)
    rank = share / 100 * (int(upto[-1]) - 1)
    low, high = np.searchsorted(upto, [math.floor(rank), math.ceil(rank)], side="right")
    return float(low + (high - low) * (rank - math.floor(rank)))


def without_small(mask: Bool[np.ndarray, "height width"], least_px: float) -> Bool[np.ndarray, "height width"]:
    """The pieces (8-connected) of a mask that have at least ``least_px`` pixels."""
    labels = np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1], dtype=np.int32)
    keep = np.bincount(labels.ravel()) >= least_px
    keep[0] = False  # the component of everything that is not in the mask
    return mask if keep[1:].all() else keep.take(labels)


def _variance(green: UInt8[np.ndarray, "height width"], window: int) -> Float[np.ndarray, "height width"]:
    """Of the squares of ``window`` pixels around each."""
    mean = cv2.boxFilter(green, cv2.CV_32F, (window, window))
    squares = cv2.sqrBoxFilter(green, cv2.CV_32F, (window, window))
    return cv2.subtract(squares, cv2.multiply(mean, mean, dst=mean), dst=squares)


def _texture_threshold(
    variance: Float[np.ndarray, "height width"],
    green: UInt8[np.ndarray, "height width"],
    seen: Bool[np.ndarray, "height width"],
) -> float:
    step = _step(seen)
    variance, green, seen = (np.ascontiguousarray(one[::step, ::step]) for one in (variance, green, seen))
    if not seen.any():
        return _LEAST_TEXTURE
    palest = variance[seen & (green >= percentile(green, 75, values=256, mask=seen))]
    middle = len(palest) // 2
    noise = math.sqrt(max(float(np.partition(palest, middle)[middle]), 0.0))
    return min(max(_NOISE_FACTOR * noise, _LEAST_TEXTURE), _MOST_TEXTURE)


def _step(seen: Bool[np.ndarray, "height width"]) -> int:
    """Every how many pixels of both axes are enough for a percentile."""
    return max(1, math.isqrt(seen.size // _COUNTED_PX))


def _closed(mask: Bool[np.ndarray, "height width"], radius_px: int) -> Bool[np.ndarray, "height width"]:
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc).astype(bool)


def _without_holes(
    mask: Bool[np.ndarray, "height width"], stain: Float[np.ndarray, "height width"], least_px: float
) -> Bool[np.ndarray, "height width"]:
    """Fills holes that are small, or as stained as tissue (mucin, cartilage: smooth, yet no glass)."""
    labels = np.asarray(cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)[1], dtype=np.int32)
    area = np.bincount(labels.ravel())
    fill = area < least_px
    large = ~fill
    large[0] = fill[0] = False  # the mask itself
    for rim in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        large[rim] = False  # open to the slide's edge
    if large.any():
        inside = large.take(labels)
        fill |= large & (np.bincount(labels[inside], stain[inside], len(area)) > _STAINED_HOLE * area)
    return mask | fill.take(labels) if fill.any() else mask
