"""The H&E image of a section: its size from the header, and its pixels; slide pyramids through OpenSlide."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openslide
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from hage_transfer.errors import DataError

_PIL_LIMIT = threading.RLock()


def is_pyramid(path: Path) -> bool:
    """Whether OpenSlide reads the file (its format detection decides, not the ending)."""
    _check_exists(path)
    return openslide.OpenSlide.detect_format(str(path)) is not None


def image_size_px(path: Path) -> tuple[int, int]:
    """Width and height at level 0, from the header alone.

    Raises:
        DataError: missing, or not an image.
    """
    if is_pyramid(path):
        with open_slide(path) as slide:
            width, height = slide.dimensions
            return int(width), int(height)
    with _open_image(path) as image:
        return image.size


def read_image(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """The whole image as RGB.

    Raises:
        DataError: missing, not an image, or damaged.
    """
    with _open_image(path) as image:
        try:
            return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: damaged image ({error}); fetch it again") from None


@contextmanager
def open_slide(path: Path) -> Iterator[openslide.OpenSlide]:
    """Opens a slide pyramid and closes it at the end.

    Raises:
        DataError: missing, or OpenSlide cannot read it.
    """
    _check_exists(path)
    try:
        slide = openslide.OpenSlide(str(path))
    except openslide.OpenSlideError as error:
        raise DataError(f"{path}: OpenSlide cannot read it ({error})") from None
    with slide:
        yield slide


@contextmanager
def _open_image(path: Path) -> Iterator[Image.Image]:
    _check_exists(path)
    with _any_size():
        try:
            image = Image.open(path)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise DataError(f"{path}: not an image that can be read ({error})") from None
    with image:
        yield image


@contextmanager
def _any_size() -> Iterator[None]:
    """Full-size sections are larger than Pillow's guard against decompression bombs; its limit is put back at once."""
    with _PIL_LIMIT:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such image")
