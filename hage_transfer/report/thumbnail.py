"""A small picture of a section or slide, to draw maps on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hage_transfer.slides.reader import open_picture


@dataclass(frozen=True)
class Thumbnail:
    """A downsampled image.

    Attributes:
        image: RGB.
        scale: its pixels per level-0 pixel.
    """

    image: UInt8[np.ndarray, "height width 3"]
    scale: float


def read_thumbnail(path: Path, *, max_px: int) -> Thumbnail:
    """The whole image with no side longer than ``max_px``.

    Raises:
        DataError: missing, not an image, or damaged.
    """
    with open_picture(path) as picture:
        image = picture.thumbnail(max_px=max_px)
        return Thumbnail(image, image.shape[1] / picture.width_px)
