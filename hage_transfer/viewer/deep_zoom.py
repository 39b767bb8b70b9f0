"""Deep-zoom tiles of a slide, read when asked for: OpenSeadragon's geometry over our slides."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hage_transfer.slides.slide import Slide

TILE_PX, OVERLAP_PX = 510, 1
OVERVIEW_PX = 4096
"""Longest side of the picture that coarse tiles of a slide without a pyramid are made from."""
_MAX_READ_PX = 2**22


@dataclass(frozen=True)
class DeepZoom:
    """The levels and tiles of a slide of this size: level 0 is one pixel, each further one twice as wide.

    Reference: Deep Zoom file format, as OpenSlide's ``DeepZoomGenerator`` and OpenSeadragon have it.
    """

    width_px: int
    height_px: int

    @property
    def n_levels(self) -> int:
        """Number of levels; the last one is the slide's level 0."""
        return math.ceil(math.log2(max(self.width_px, self.height_px))) + 1

    def scale(self, level: int) -> int:
        """Level-0 pixels of the slide per pixel of a deep-zoom level."""
        return int(2 ** (self.n_levels - 1 - level))

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of a level."""
        scale = self.scale(level)
        return math.ceil(self.width_px / scale), math.ceil(self.height_px / scale)

    def tiles(self, level: int) -> tuple[int, int]:
        """Columns and rows of a level's tiles."""
        width, height = self.size(level)
        return math.ceil(width / TILE_PX), math.ceil(height / TILE_PX)

    def box(self, level: int, column: int, row: int) -> tuple[int, int, int, int] | None:
        """A tile's left, top, width, height in its level's pixels, overlap included; None where there is none."""
        if not 0 <= level < self.n_levels:
            return None
        columns, rows = self.tiles(level)
        if not (0 <= column < columns and 0 <= row < rows):
            return None
        width, height = self.size(level)
        left, top = max(column * TILE_PX - OVERLAP_PX, 0), max(row * TILE_PX - OVERLAP_PX, 0)
        right = min((column + 1) * TILE_PX + OVERLAP_PX, width)
        bottom = min((row + 1) * TILE_PX + OVERLAP_PX, height)
        return left, top, right - left, bottom - top


@dataclass(frozen=True)
class Box:
    """A rectangle of level 0 and the size it is shown at."""

    left: float
    top: float
    right: float
    bottom: float
    out_width_px: int
    out_height_px: int


def needs_overview(slide: Slide, scale: int) -> bool:
    """Whether a level is made from the overview: reading its tiles would be reading hundreds of megabytes."""
    if scale < max(slide.width_px, slide.height_px) / OVERVIEW_PX:
        return False
    fine = slide.level_downsamples[slide.level_for(scale)]
    return scale > ((8 if fine > 1 else 4) * fine if len(slide.levels) > 1 else 1)


def overview_level(slide: Slide, zoom: DeepZoom) -> int | None:
    """The finest level that ``needs_overview``; None where none does."""
    return next((level for level in reversed(range(zoom.n_levels)) if needs_overview(slide, zoom.scale(level))), None)


def read_overview(slide: Slide, zoom: DeepZoom, level: int) -> UInt8[np.ndarray, "height width 3"]:
    """The whole of a level.

    Raises:
        DataError: damaged, or so large without a pyramid that reading it would take hours.
    """
    width, height = zoom.size(level)
    overview, scale = slide.thumbnail(max_px=OVERVIEW_PX), zoom.scale(level)
    x, y = overview.shape[1] / slide.width_px * scale, overview.shape[0] / slide.height_px * scale
    box = 0, 0, min(width * x, overview.shape[1]), min(height * y, overview.shape[0])
    return np.asarray(Image.fromarray(overview).resize((width, height), Image.Resampling.LANCZOS, box=box))


def read_tile(
    slide: Slide, zoom: DeepZoom, box_px: tuple[int, int, int, int], *, level: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels of a tile; at the last level they are the slide's own, untouched.

    Args:
        slide: an open slide.
        zoom: its geometry.
        box_px: as ``DeepZoom.box`` gives it.
        level: of the deep zoom.

    Raises:
        DataError: damaged data in the file.
    """
    scale = zoom.scale(level)
    left, top, width, height = box_px
    right, bottom = min((left + width) * scale, slide.width_px), min((top + height) * scale, slide.height_px)
    return _read(slide, Box(left * scale, top * scale, right, bottom, width, height))


def _read(slide: Slide, box: Box) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a box, in quarters where it covers many pixels of the finest level that it is made from."""
    across, down = box.right - box.left, box.bottom - box.top
    fine = slide.level_downsamples[slide.level_for(min(across / box.out_width_px, down / box.out_height_px))]
    if across * down <= _MAX_READ_PX * fine**2 or min(box.out_width_px, box.out_height_px) < 2:
        return slide.read_box(
            box.left,
            box.top,
            width_level0_px=across,
            height_level0_px=down,
            out_width_px=box.out_width_px,
            out_height_px=box.out_height_px,
            kernel=Image.Resampling.LANCZOS,
        )
    x_px, y_px = box.out_width_px // 2, box.out_height_px // 2
    x, y = box.left + across * x_px / box.out_width_px, box.top + down * y_px / box.out_height_px
    wide, high = box.out_width_px - x_px, box.out_height_px - y_px
    upper = (
        _read(slide, Box(box.left, box.top, x, y, x_px, y_px)),
        _read(slide, Box(x, box.top, box.right, y, wide, y_px)),
    )
    lower = (
        _read(slide, Box(box.left, y, x, box.bottom, x_px, high)),
        _read(slide, Box(x, y, box.right, box.bottom, wide, high)),
    )
    return np.vstack([np.hstack(upper), np.hstack(lower)])
