"""Slides that OpenSlide reads."""

import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import openslide
from jaxtyping import UInt8

from hage_transfer.damage import reading
from hage_transfer.slides.jpeg_tiles import JpegTiles
from hage_transfer.slides.resolution import Recorded, from_openslide
from hage_transfer.slides.scanner import scanner_of

log = logging.getLogger(__name__)

_SEEN_ALPHA = 128
_COMPARED_PX, _SAME_PIXELS = 64, 4.0


class OpenSlideSource:
    """An open slide of OpenSlide; see ``PixelSource``."""

    def __init__(self, slide: openslide.OpenSlide, path: Path, *, tiles: JpegTiles | None = None) -> None:
        """Takes the slide, and its JPEG tiles where they may be decoded without OpenSlide."""
        self._slide, self._path, self._tiles = slide, path, tiles
        self._alike: dict[int, bool] = {}
        self._comparing = threading.Lock()
        self.level_sizes_px: tuple[tuple[int, int], ...] = tuple(
            (int(width), int(height)) for width, height in slide.level_dimensions
        )
        self._downsamples = tuple(float(value) for value in slide.level_downsamples)
        self.recorded: tuple[Recorded, ...] = tuple(from_openslide(slide.properties))
        self.notes: tuple[str, ...] = ()
        self.scanner = scanner_of(slide.properties)
        x, y = (int(slide.properties.get(f"openslide.bounds-{axis}", 0)) for axis in "xy")
        self.origin_px: tuple[int, int] = (x, y)

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        if self._tiles is not None and self._is_alike(level, self._tiles):
            pixels = self._tiles.read(level, x_px, y_px, width_px, height_px)
            if pixels is not None:
                return pixels
        return self._read_openslide(level, x_px, y_px, width_px, height_px)

    def _is_alike(self, level: int, tiles: JpegTiles) -> bool:
        """Whether a level's fullest tile shows what OpenSlide makes of it: colours may be stored in odd ways.

        Not to the bit, since OpenSlide interpolates where its factor, the mean of both axes, is not the true one.
        """
        with self._comparing:
            if level not in self._alike:
                self._alike[level] = level in tiles.levels and self._compare(level, tiles)
            return self._alike[level]

    def _compare(self, level: int, tiles: JpegTiles) -> bool:
        x, y, width, height = tiles.levels[level].fullest()
        sides = min(width, _COMPARED_PX), min(height, _COMPARED_PX)
        box = x + (width - sides[0]) // 2, y + (height - sides[1]) // 2, *sides
        own = tiles.read(level, *box)
        if own is None:
            return False
        apart = float(cv2.absdiff(own, self._read_openslide(level, *box)).mean())
        if apart > _SAME_PIXELS:
            log.info("%s: level %d is decoded by OpenSlide, which takes its colours otherwise", self._path.name, level)
        return apart <= _SAME_PIXELS

    def _read_openslide(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> np.ndarray:
        # OpenSlide takes level-0 places and divides them by its own factor, the mean of both axes: multiplied by the
        # same factor the place comes out as the pixel that is meant, whatever the true factor is.
        factor = self._downsamples[level]
        place = (round(x_px * factor), round(y_px * factor))
        what = f"damaged at ({x_px}, {y_px}) of level {level}"
        with reading(self._path, what, openslide.OpenSlideError, remedy="fetch the file again"):
            region = self._slide.read_region(place, level, (width_px, height_px))
        pixels = np.asarray(region)
        # Alpha is 0 where the scanner took nothing. At a slide's last column it may also be a little below 255, since
        # OpenSlide's factor is not quite the true one; the colour beneath is right, and white must not mix into it.
        if pixels[..., 3].min(initial=255) == 255:
            return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
        return np.where(pixels[..., 3:] >= _SEEN_ALPHA, pixels[..., :3], np.uint8(255))

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._slide.close()
        if self._tiles is not None:
            self._tiles.close()
