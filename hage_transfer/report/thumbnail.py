"""A small picture of a section or slide, to draw maps on."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hage_transfer.data.section_image import is_pyramid, open_slide, read_image


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
    if is_pyramid(path):
        with open_slide(path) as slide:
            width, height = slide.dimensions
            scale = min(1.0, max_px / max(width, height))
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = np.asarray(slide.get_thumbnail(size).convert("RGB"))
        return Thumbnail(image, image.shape[1] / width)
    image = read_image(path)
    height, width = image.shape[:2]
    scale = min(1.0, max_px / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Thumbnail(cv2.resize(image, size, interpolation=cv2.INTER_AREA), size[0] / width)
