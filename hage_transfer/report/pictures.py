"""Pictures that go into the page as they are: made smaller, so that a page of many stays a few megabytes."""

import io
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.errors import DataError

WIDTH_PX = 1100
QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A photograph or map: its title, its JPEG, and what it shows in words.

    Attributes:
        title: above it.
        jpeg: the file's bytes.
        alt: what it shows.
    """

    title: str
    jpeg: bytes
    alt: str


def read_picture(path: Path, *, title: str, alt: str, width_px: int = WIDTH_PX) -> Picture:
    """Reads a picture and makes it no wider than ``width_px``, on white where it is transparent.

    Raises:
        DataError: not a picture, or damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error}); make it again") from None
    image.thumbnail((width_px, 4 * width_px))
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    buffer = io.BytesIO()
    flat.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return Picture(title, buffer.getvalue(), alt)
