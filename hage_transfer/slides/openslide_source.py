"""Slides that OpenSlide reads."""

from pathlib import Path

import numpy as np
import openslide
from jaxtyping import UInt8

from hage_transfer.errors import DataError
from hage_transfer.slides.resolution import from_openslide

_SEEN_ALPHA = 128


class OpenSlideSource:
    """An open slide of OpenSlide; see ``PixelSource``."""

    def __init__(self, slide: openslide.OpenSlide, path: Path) -> None:
        self._slide, self._path = slide, path
        self.level_sizes_px: tuple[tuple[int, int], ...] = tuple(
            (int(width), int(height)) for width, height in slide.level_dimensions
        )
        self._downsamples = tuple(float(value) for value in slide.level_downsamples)
        self.recorded: tuple[Recorded, ...] = tuple(from_openslide(slide.properties))
        self.notes: tuple[str, ...] = ()
        x, y = (int(slide.properties.get(f"openslide.bounds-{axis}", 0)) for axis in "xy")
        self.origin_px: tuple[int, int] = (x, y)

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        # OpenSlide takes level-0 places and divides them by its own factor, the mean of both axes: multiplied by the
        # same factor the place comes out as the pixel that is meant, whatever the true factor is.
        factor = self._downsamples[level]
        place = (round(x_px * factor), round(y_px * factor))
        try:
            region = self._slide.read_region(place, level, (width_px, height_px))
        except openslide.OpenSlideError as error:
            raise DataError(
                f"{self._path}: damaged at ({x_px}, {y_px}) of level {level} ({error}); fetch the file again"
            ) from None
        pixels = np.asarray(region)
        # Alpha is 0 where the scanner took nothing. At a slide's last column it may also be a little below 255, since
        # OpenSlide's factor is not quite the true one; the colour beneath is right, and white must not mix into it.
        if pixels[..., 3].min(initial=255) == 255:
            return np.ascontiguousarray(pixels[..., :3])
        return np.where(pixels[..., 3:] >= _SEEN_ALPHA, pixels[..., :3], np.uint8(255))

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._slide.close()
