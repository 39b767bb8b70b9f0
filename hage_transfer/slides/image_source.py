"""Plain images (PNG, JPEG, BMP, TIFF that only Pillow decodes): read whole, so small ones alone."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from hage_transfer.errors import DataError
from hage_transfer.slides.resolution import Recorded, from_tiff_tags
from hage_transfer.slides.sources import over_white

MAX_IMAGE_PX = 170_000_000
"""Half a gigabyte of RGB; Pillow itself refuses at 179 million."""
PYRAMID_REMEDY = (
    "write it as a tiled pyramid (`vips tiffsave IN OUT.tif --tile --pyramid --compression deflate --bigtiff`)"
)
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


class ImageSource:
    """A plain image of one level, decoded when first read; see ``PixelSource``."""

    origin_px: tuple[int, int] = (0, 0)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pixels: np.ndarray | None = None
        with _opened(path) as image:
            if image.width * image.height > MAX_IMAGE_PX:
                raise DataError(
                    f"{path}: {image.width} x {image.height} px without tiles is too large; {PYRAMID_REMEDY}"
                )
            if image.mode not in _MODES:
                raise DataError(f"{path}: samples of Pillow's mode {image.mode}; save it as 8-bit RGB or grey")
            self.level_sizes_px: tuple[tuple[int, int], ...] = ((image.width, image.height),)
            self.recorded: tuple[Recorded, ...] = (_recorded(image),)
            self.notes: tuple[str, ...] = ("grey",) if image.mode in {"1", "L", "LA"} else ()

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        if self._pixels is None:
            with _opened(self._path) as image:
                transparent = image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info
                self._pixels = _decoded(self._path, image, "RGBA" if transparent else "RGB")
        region = self._pixels[y_px : y_px + height_px, x_px : x_px + width_px]
        return over_white(region) if region.shape[2] == 4 else region

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._pixels = None


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is in MAX_IMAGE_PX
            return Image.open(path)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large to be read without tiles ({error}); {PYRAMID_REMEDY}") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: neither a slide nor an image that can be read; is it whole, and of this ending?"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: damaged image ({error}); fetch it again") from None


def _decoded(path: Path, image: Image.Image, mode: str) -> np.ndarray:
    try:
        return np.asarray(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: damaged image ({error}); fetch it again") from None


def _recorded(image: Image.Image) -> Recorded:
    dpi = image.info.get("dpi")
    if not dpi:
        return Recorded(None, None, "its header")
    tags = from_tiff_tags(float(dpi[0]), float(dpi[1]), 2)
    return Recorded(tags.x_um_per_px, tags.y_um_per_px, f"its header ({float(dpi[0]):g} px per inch)")
