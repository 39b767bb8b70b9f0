"""Where a slide's pixels come from: the one form that OpenSlide, TIFF and plain images are brought to."""

from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from hage_transfer.slides.resolution import Recorded

MAX_SIDE_PX = 2_000_000
"""No scanner makes a longer side; a header that claims one is damaged."""
MAX_OVERVIEW_PX = 2**33
"""Pixels that are read for an overview, at most: beyond it a slide needs a pyramid."""


PYRAMID_REMEDY = (
    "write it as a tiled pyramid (`vips tiffsave IN OUT.tif --tile --pyramid --compression deflate --bigtiff`)"
)
GREY, BLACK_AND_WHITE = "grey", "1 bit a pixel, black and white"
CMYK = "CMYK, made RGB without a colour profile"


class PixelSource(Protocol):
    """An open file of one or more levels.

    Attributes:
        level_sizes_px: (width, height) of each level, level 0 first.
        recorded: what the file says of its resolution, the most trusted place first.
        notes: what a reader of a report should know (grey, 16 bits, other pages).
        origin_px: level-0 (x, y) that viewers that crop empty borders (QuPath) show as their origin.

    A source may also have a text ``scanner``: maker and model, where the file names them.
    """

    level_sizes_px: tuple[tuple[int, int], ...]
    recorded: tuple[Recorded, ...]
    notes: tuple[str, ...]
    origin_px: tuple[int, int]

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """Pixels of a rectangle that lies wholly in ``level``, in that level's own pixels; no pixel there is white.

        Raises:
            DataError: damaged data.
        """

    def close(self) -> None:
        """Gives the file back."""


def deep(bits: int, said_by: str) -> str:
    """The note of samples of more than 8 bits."""
    held = "" if bits == 16 else f" that hold {bits} by {said_by}"
    return f"samples of 16 bits{held}, of which the upper 8 are read"


def over_white(rgba: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """RGBA laid over white: where a scanner took nothing there is glass, not black."""
    alpha = rgba[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    weight = alpha.astype(np.uint16)
    mixed = rgba[..., :3] * weight + 255 * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def place(region: np.ndarray, segment: np.ndarray, left: int, top: int) -> None:
    """Copies what of ``segment``, whose corner lies at (left, top), falls into ``region``."""
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + segment.shape[1], region.shape[1]), min(top + segment.shape[0], region.shape[0])
    if x1 > x0 and y1 > y0:
        region[y0:y1, x0:x1] = segment[y0 - top : y1 - top, x0 - left : x1 - left]
