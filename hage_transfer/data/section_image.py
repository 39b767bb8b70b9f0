"""The H&E image of a section, read through the same door as slides."""

from pathlib import Path

from hage_transfer.slides.reader import open_picture


def image_size_px(path: Path) -> tuple[int, int]:
    """Width and height at level 0, as the image is shown; pixels are not decoded.

    Raises:
        DataError: missing, or no picture of a stained slide.
    """
    with open_picture(path) as image:
        return image.width_px, image.height_px
