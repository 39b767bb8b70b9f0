"""An open slide: levels, resolution, and pixels of any rectangle at any resolution."""

import math
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hage_transfer.errors import DataError
from hage_transfer.slides.levels import Level, usable_levels
from hage_transfer.slides.resolution import REMEDY, Recorded, Resolution, missing_resolution
from hage_transfer.slides.sources import MAX_OVERVIEW_PX, PYRAMID_REMEDY, PixelSource

_LEVEL_TOLERANCE = 1.001
_BLOCK_PX = 2048
_KERNEL_REACH_PX = 3  # bicubic reaches two pixels of the coarser of both images


class Slide:
    """One open slide.

    Attributes:
        path: its file, or the folder of its files.
        name: as it was opened; else the file's without its ending, or the folder's.
        resolution: um per px of level 0 on both axes; None where none is known and none was asked for.
        levels: level 0 first; each knows its size and its level-0 pixels per pixel on both axes.
        recorded: what the file says of its resolution, the most trusted place first, plausible or not.
        notes: oddities for a report (grey, 16 bits, other images in the file).
        scanner: its maker and model, where the file names them; empty where not.
        origin_px: level-0 (x, y) that QuPath shows as its origin (MRXS: it crops the empty border).
    """

    def __init__(
        self, source: PixelSource, path: Path, *, resolution: Resolution | None, name: str | None = None
    ) -> None:
        self._source = source
        self.path, self.name = path, name or (path.name if path.is_dir() else path.stem)
        self.resolution = resolution
        self.levels: tuple[Level, ...] = usable_levels(source.level_sizes_px, name=path.name)
        self.recorded: tuple[Recorded, ...] = source.recorded
        self.notes, self.origin_px = source.notes, source.origin_px
        self.scanner = str(getattr(source, "scanner", ""))
        self.width_px, self.height_px = self.levels[0].width_px, self.levels[0].height_px

    @property
    def known_resolution(self) -> Resolution:
        """The resolution.

        Raises:
            DataError: none is known; the message names the remedies.
        """
        if self.resolution is None:
            raise DataError(f"{self.path}: {missing_resolution(self.recorded)}; {REMEDY}")
        return self.resolution

    @property
    def mpp_um_per_px(self) -> float:
        """Level-0 resolution, the geometric mean of both axes; errors as ``known_resolution``."""
        return self.known_resolution.mean_um_per_px

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """Level-0 pixels per pixel of each level, 1.0 first."""
        return tuple(level.downsample for level in self.levels)

    def level_for(self, downsample: float) -> int:
        """The coarsest level that is still as fine as ``downsample``; level 0 where none is."""
        fine = [k for k, level in enumerate(self.levels) if level.downsample <= downsample * _LEVEL_TOLERANCE]
        return max(fine, key=lambda k: self.levels[k].downsample, default=0)

    def read_region(
        self, x_px: int | np.integer, y_px: int | np.integer, *, level: int, width_px: int, height_px: int
    ) -> UInt8[np.ndarray, "height_px width_px 3"]:
        """Pixels of a rectangle in ``level``'s own pixels, none resampled; white outside the slide.

        Raises:
            DataError: damaged data in the file.
        """
        size, x_px, y_px = self.levels[level], int(x_px), int(y_px)
        left, top = max(x_px, 0), max(y_px, 0)
        right, bottom = min(x_px + width_px, size.width_px), min(y_px + height_px, size.height_px)
        if left >= right or top >= bottom:
            return np.full((height_px, width_px, 3), 255, np.uint8)
        pixels = self._source.read(size.index, left, top, right - left, bottom - top)
        if pixels.shape[:2] == (height_px, width_px):
            return pixels
        region = np.full((height_px, width_px, 3), 255, np.uint8)
        region[top - y_px : bottom - y_px, left - x_px : right - x_px] = pixels
        return region

    def read_box(
        self,
        x_level0_px: float,
        y_level0_px: float,
        *,
        width_level0_px: float,
        height_level0_px: float,
        out_width_px: int,
        out_height_px: int,
        kernel: Image.Resampling = Image.Resampling.BICUBIC,
    ) -> UInt8[np.ndarray, "out_height_px out_width_px 3"]:
        """A rectangle of level 0, edges at fractions of a pixel allowed, resampled to the size asked for.

        The nearest finer level is read, with as much around the rectangle as the kernel reaches, so that neighbouring
        tiles join without a seam. Where the rectangle lies on that level's pixels, they come back untouched.

        Raises:
            DataError: damaged data in the file.
        """
        level = self.level_for(min(width_level0_px / out_width_px, height_level0_px / out_height_px))
        size = self.levels[level]
        left, width = x_level0_px / size.downsample_x, width_level0_px / size.downsample_x
        top, height = y_level0_px / size.downsample_y, height_level0_px / size.downsample_y
        if all(map(_whole, (left, top))) and _near(width, out_width_px) and _near(height, out_height_px):
            return self.read_region(
                round(left), round(top), level=level, width_px=out_width_px, height_px=out_height_px
            )
        x0, x1 = _span(left, width, width / out_width_px, size.width_px)
        y0, y1 = _span(top, height, height / out_height_px, size.height_px)
        # a level of 500 px for 1001 lacks the last half pixel: its edge is repeated, since white would be glass
        lack_x, lack_y = int(x1 - size.width_px == 1), int(y1 - size.height_px == 1)
        region = self.read_region(x0, y0, level=level, width_px=x1 - x0 - lack_x, height_px=y1 - y0 - lack_y)
        region = np.pad(region, ((0, lack_y), (0, lack_x), (0, 0)), mode="edge") if lack_x or lack_y else region
        box = (left - x0, top - y0, min(left + width - x0, x1 - x0), min(top + height - y0, y1 - y0))
        return np.asarray(Image.fromarray(region).resize((out_width_px, out_height_px), kernel, box=box))

    def read_square(
        self, x_level0_px: int | np.integer, y_level0_px: int | np.integer, *, size_level0_px: float, out_px: int
    ) -> UInt8[np.ndarray, "out_px out_px 3"]:
        """A square of level 0, see ``read_box``."""
        return self.read_box(
            float(x_level0_px),
            float(y_level0_px),
            width_level0_px=size_level0_px,
            height_level0_px=size_level0_px,
            out_width_px=out_px,
            out_height_px=out_px,
        )

    def thumbnail(self, *, downsample: float = 1.0, max_px: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole slide reduced by ``downsample`` or more, so that no side is longer than ``max_px``.

        It is read in blocks, so a slide without a pyramid takes time, but never memory.

        Raises:
            DataError: damaged data, or so many pixels without a pyramid that reading them would take hours.
        """
        factor = max(1.0, downsample, max(self.width_px, self.height_px) / max_px)
        width, height = max(1, round(self.width_px / factor)), max(1, round(self.height_px / factor))
        level = self.levels[self.level_for(min(self.width_px / width, self.height_px / height))]
        if level.width_px * level.height_px > MAX_OVERVIEW_PX:
            raise DataError(
                f"{self.path}: {self.width_px} x {self.height_px} px and no level smaller than {level.width_px} x "
                f"{level.height_px} px to look at; {PYRAMID_REMEDY}"
            )
        if max(level.width_px, level.height_px) <= _BLOCK_PX and self._is_shown_whole(level):
            sides = {"width_px": level.width_px, "height_px": level.height_px}
            whole = self.read_region(0, 0, level=self.levels.index(level), **sides)
            # bilinear misses no pixel up to a half, and is ten times faster than areas of fractions of pixels
            near = max(level.width_px / width, level.height_px / height) < 2.0
            return cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR if near else cv2.INTER_AREA)
        x_step, y_step = self.width_px / width, self.height_px / height
        picture = np.empty((height, width, 3), np.uint8)
        rows = max(1, math.floor(_BLOCK_PX * level.downsample_y / y_step))
        columns = max(1, math.floor(_BLOCK_PX * level.downsample_x / x_step))
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                down, across = min(rows, height - top), min(columns, width - left)
                picture[top : top + down, left : left + across] = self.read_box(
                    left * x_step,
                    top * y_step,
                    width_level0_px=across * x_step,
                    height_level0_px=down * y_step,
                    out_width_px=across,
                    out_height_px=down,
                    kernel=Image.Resampling.BOX,
                )
        return picture

    def _is_shown_whole(self, level: Level) -> bool:
        """Whether a level ends where the slide does, to a pixel of its own."""
        ends = self.width_px / level.downsample_x, self.height_px / level.downsample_y
        return abs(ends[0] - level.width_px) < 1.0 and abs(ends[1] - level.height_px) < 1.0


def _whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def _near(value: float, wanted: int) -> bool:
    return abs(value - wanted) < 1e-6


def _span(start: float, length: float, shrink: float, limit: int) -> tuple[int, int]:
    """Whole pixels that cover [start, start + length] and the kernel's reach, as far as the level goes."""
    reach = math.ceil(_KERNEL_REACH_PX * max(1.0, shrink))
    low, high = math.floor(start), math.ceil(start + length - 1e-6)
    return min(max(low - reach, 0), low), max(min(high + reach, limit), high)
