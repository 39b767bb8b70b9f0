"""Plain images (PNG, JPEG, BMP, WebP, GIF, JPEG 2000): decoded whole and once, when first read."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import imagecodecs
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hage_transfer.damage import DAMAGE, reading
from hage_transfer.errors import DataError
from hage_transfer.running.memory import give_back_memory
from hage_transfer.slides.jpeg_streams import early_end
from hage_transfer.slides.orientation import TURNS
from hage_transfer.slides.resolution import Recorded, from_tiff_tags
from hage_transfer.slides.samples import SampleKind, bits_of_range, to_rgb
from hage_transfer.slides.sources import BLACK_AND_WHITE, CMYK, GREY, PYRAMID_REMEDY, deep, over_white

MAX_IMAGE_PX = 2**29
"""Decoded pixels take 4 bytes each: 2 GiB."""
_FORMATS = (
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("JPEG", b"\xff\xd8\xff"),
    ("BMP", b"BM"),
    ("WEBP", b"RIFF"),
    ("GIF", b"GIF8"),
    ("JPEG2000", b"\0\0\0\x0cjP  "),
    ("JPEG2000", b"\xff\x4f\xff\x51"),
)
_LARGE_PX = 2**25
_JPEG_END = b"\xff\xd9"
_NOTES = {"1": BLACK_AND_WHITE, "L": GREY, "LA": GREY, "CMYK": CMYK}
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_TRANSPARENT = frozenset({"LA", "PA", "RGBA"})
_WHAT, _AGAIN = "damaged image", "fetch it again"
_ORIENTATION = 274
_PIL_LIMIT = threading.RLock()


def format_of(start: bytes) -> str | None:
    """Pillow's name of the plain format that a file's first bytes are of; None where they are of none."""
    return next((name for name, magic in _FORMATS if start.startswith(magic)), None)


class ImageSource:
    """A plain image of one level; see ``PixelSource``. Reading from several threads is safe.

    Attributes:
        orientation: as its EXIF data say, 1 where they say none; the source itself gives the pixels as stored.

    Raises:
        DataError: damaged, too large, of several frames, or of samples that are no picture's.
    """

    origin_px: tuple[int, int] = (0, 0)

    def __init__(self, path: Path, handle: IO[bytes], form: str) -> None:
        """Takes the open file, to close it in the end, and Pillow's name of its format."""
        self._path, self._handle = path, handle
        self._lock = threading.Lock()
        self._loaded = False
        self._pixels: UInt8[np.ndarray, "h w 3"] | None = None
        self._image = _opened(path, handle, form)
        self.orientation = _orientation(path, self._image)
        self.level_sizes_px: tuple[tuple[int, int], ...] = (self._image.size,)
        self.recorded: tuple[Recorded, ...] = (_recorded(self._image),)
        self.notes: tuple[str, ...] = (_NOTES[self._image.mode],) if self._image.mode in _NOTES else ()
        if _is_deep_png(self._image):
            self._read_deep()
        self._transparent = self._image.mode in _TRANSPARENT or "transparency" in self._image.info

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        with self._lock:
            if not self._loaded:
                self._load()
        if self._pixels is not None:
            part = self._pixels[y_px : y_px + height_px, x_px : x_px + width_px]
            return part if part.shape == self._pixels.shape else part.copy()  # a patch does not keep the image
        image = self._image
        if (width_px, height_px) != image.size:
            image = image.crop((x_px, y_px, x_px + width_px, y_px + height_px))
        with reading(self._path, _WHAT, remedy=_AGAIN):
            if self._transparent:
                return over_white(np.asarray(image.convert("RGBA")))
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._handle.close()
        self._image, self._pixels = Image.new("RGB", (1, 1)), None

    def _load(self) -> None:
        if self._image.width * self._image.height > _LARGE_PX:
            give_back_memory()  # what an image before it has left free: 30 to 90 MB where sections are encoded
        if self._image.format == "JPEG":
            self._handle.seek(0)
            content = self._handle.read()
            if fault := early_end(content):
                raise DataError(f"{self._path}: {_WHAT} ({fault}); {_AGAIN}")
            self._pixels = _jpeg_pixels(content, self._image.size) if self._image.mode == "RGB" else None
            if self._pixels is not None:
                self._loaded = True
                return
        with reading(self._path, _WHAT, remedy=_AGAIN):
            self._image.load()
        if _orientation(self._path, self._image) != self.orientation:
            raise DataError(f"{self._path}: its orientation stands behind its pixels; save it upright")
        self._loaded = True

    def _read_deep(self) -> None:
        """16-bit PNG: Pillow would keep the upper 8 bits, whichever of them hold the picture."""
        if "transparency" in self._image.info:
            raise DataError(f"{self._path}: 16-bit PNG with a transparent colour; save it as 8-bit RGB")
        self._load()  # Pillow refuses damage that libpng only warns of
        with reading(self._path, _WHAT, remedy=_AGAIN):
            self._handle.seek(0)
            samples = imagecodecs.png_decode(self._handle.read())
        colours = samples[..., :3]
        bits = bits_of_range(int(colours.max(initial=0)))
        alpha = samples.shape[2] == 4
        alpha_bits = bits_of_range(int(samples[..., 3].max(initial=0))) if alpha else 8
        self._pixels = to_rgb(
            samples, SampleKind("rgb", bits=bits, alpha="straight" if alpha else "", alpha_bits=alpha_bits)
        )
        self.notes = (deep(bits, "its values"),)


def _jpeg_pixels(content: bytes, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"] | None:
    """Of a JPEG, as Pillow decodes it, in 3 bytes a pixel for its 4; None where Pillow should say what is wrong."""
    if not content.endswith(_JPEG_END):
        return None  # cut short, which imagecodecs fills with grey
    try:
        found: np.ndarray = imagecodecs.jpeg8_decode(content)
    except DAMAGE:
        return None
    return found if found.shape == (size_px[1], size_px[0], 3) and found.dtype == np.uint8 else None


def _opened(path: Path, handle: IO[bytes], form: str) -> Image.Image:
    what = f"begins as {form} does, and is no image that can be read"
    with reading(path, what, remedy=_AGAIN), _any_size(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a damaged chunk or EXIF entry: what matters of it is checked here
        image = Image.open(handle, formats=(form,))
    if image.width * image.height > MAX_IMAGE_PX:
        raise DataError(
            f"{path}: too large to be read without tiles ({image.width} x {image.height} px); {PYRAMID_REMEDY}"
        )
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO's other pictures are previews
        raise DataError(f"{path}: {getattr(image, 'n_frames', 0)} frames, of which none is the picture; save one alone")
    deep_grey = image.mode.startswith("I") or _stored_as(image).startswith("LA;16")
    if image.mode not in _MODES or deep_grey:
        kind = "16-bit grey samples" if deep_grey else "samples"
        raise DataError(f"{path}: {kind} (Pillow's mode {image.mode}); save it as 8-bit RGB")
    return image


@contextmanager
def _any_size() -> Iterator[None]:
    """Full-size sections are larger than Pillow's own limit, which is put back at once; ours is ``MAX_IMAGE_PX``."""
    with _PIL_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _is_deep_png(image: Image.Image) -> bool:
    return image.format == "PNG" and _stored_as(image).endswith(";16B")


def _stored_as(image: Image.Image) -> str:
    """Pillow's name of the form that the first piece of pixels is stored in; empty where it tells none."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0][3]) if tiles else ""


def _orientation(path: Path, image: Image.Image) -> int:
    """Pillow's PNG reader decodes the pixels to look behind them, so its base class is asked."""
    if "exif" not in image.info and not any("xmp" in str(key).lower() for key in image.info):
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except DAMAGE:
        return 1  # EXIF data that cannot be read say nothing of the picture
    return found if found in TURNS else 1


def _recorded(image: Image.Image) -> Recorded:
    dpi = image.info.get("dpi")
    try:
        x, y = (float(value) for value in dpi or ())
    except (TypeError, ValueError, ZeroDivisionError):
        return Recorded(None, None, "its header")
    tags = from_tiff_tags(x, y, 2)
    return Recorded(tags.x_um_per_px, tags.y_um_per_px, f"its header ({x:g} px per inch)")
