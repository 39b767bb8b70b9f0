"""A section's image held against the reduced copy that came with its positions: turned or mirrored it is refused."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from hage_transfer.errors import DataError
from hage_transfer.slide_names import IMAGE_ENDINGS

if TYPE_CHECKING:
    from hage_transfer.slides.slide import Slide  # slow to load: an empty folder is refused without it

log = logging.getLogger(__name__)

_GRID, _OUT_PX = 12, 4
_SIDE = 1 / 24
"""Of a square that is looked at, as a share of the picture's."""
_MOST_PX, _MOST_WHOLE_PX = 2**30, 2**27
"""Of a picture without a pyramid, up to here: in tiles or strips, of which some are decoded, and as one."""
_FAR, _NEARER, _LEAST_ALIKE = 4.0, 3.0, 0.5
_SAME_ASPECT = 0.02
_TURNS = {
    (0, True): "mirrored left to right",
    (1, False): "turned by a quarter, anticlockwise",
    (1, True): "turned by a quarter and mirrored",
    (2, False): "turned by a half",
    (2, True): "mirrored top to bottom",
    (3, False): "turned by a quarter, clockwise",
    (3, True): "turned by a quarter and mirrored",
}


def refuse_quarter_turn(image: Path, size_px: tuple[int, int], full_size_px: tuple[float, float]) -> None:
    """Refuses an image as wide as the one of the positions was high, and the reverse.

    Raises:
        DataError: naming both sizes.
    """
    (width, height), (full_width, full_height) = size_px, full_size_px
    aspect, wanted = width / height, full_width / full_height
    if abs(aspect * wanted - 1) < _SAME_ASPECT < abs(aspect / wanted - 1) / 2:
        raise DataError(
            f"{image}: {width} x {height} px, and the positions were measured on a picture of {full_width:.0f} x "
            f"{full_height:.0f} px: it is turned by a quarter; give it as it was"
        )


def refuse_turned(slide: "Slide", reduced: UInt8[np.ndarray, "h w 3"], source: str) -> None:
    """Refuses an image that is the reduced copy turned or mirrored; one that shows something else is said.

    Args:
        slide: the image, open.
        reduced: the copy that was made of the image of the positions.
        source: where it is, for the message.

    Raises:
        DataError: naming what was done to the image.
    """
    from hage_transfer.slides.tiff_facts import is_tiff

    size_px = slide.width_px, slide.height_px
    coarsest = slide.levels[slide.level_for(max(slide.width_px, slide.height_px) * _SIDE / _OUT_PX)]
    whole = len(slide.levels) == 1 and slide.path.suffix.lower() in IMAGE_ENDINGS and not is_tiff(slide.path)
    if (
        coarsest.width_px * coarsest.height_px > (_MOST_WHOLE_PX if whole else _MOST_PX)
        or min(*reduced.shape[:2], *size_px) * _SIDE < 1
    ):
        return
    try:
        found = _colours_of(slide)
    except DataError:
        return  # damage is told of when it is encoded
    wanted = _colours(reduced)
    as_it_is = _apart(found, wanted)
    if as_it_is < _FAR:
        return
    others = {turn: _apart(found, _turned(wanted, *turn)) for turn in _TURNS}
    best = min(others, key=others.__getitem__)
    if _NEARER * others[best] < as_it_is:
        notes = f" ({'; '.join(slide.notes)})" if slide.notes else ""
        raise DataError(
            f"{slide.path}: is {_TURNS[best]} against {source}, the reduced copy of the picture that the positions "
            f"were measured on{notes}; give it as it was"
        )
    if _alike(found, wanted) < _LEAST_ALIKE:
        log.warning(
            "%s: does not show what %s does, the reduced copy of the picture that the positions were measured on; is "
            "it of this section?",
            slide.path,
            source,
        )


def as_picture(values: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"] | None:
    """A picture kept in ``uns``, of bytes or of shares of 1; None where it is neither."""
    known = values is not None and (values.dtype.kind == "f" or values.dtype == np.uint8)
    if values is None or not known or values.ndim != 3 or values.shape[2] not in (3, 4) or not values.size:
        return None
    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
        values = values * 255 if values.max() <= 1 else values
    return np.clip(values[..., :3], 0, 255).astype(np.uint8)


def _boxes(width: float, height: float) -> Iterator[tuple[float, float, float, float]]:
    """Left, top, width and height of squares spread over a picture, row by row."""
    wide, high = max(1.0, width * _SIDE), max(1.0, height * _SIDE)
    for row in range(_GRID):
        for column in range(_GRID):
            yield (column + 0.5) / _GRID * width - wide / 2, (row + 0.5) / _GRID * height - high / 2, wide, high


def _colours_of(slide: "Slide") -> Float[np.ndarray, "row column 3"]:
    from PIL import Image

    means = [
        slide.read_box(
            x,
            y,
            width_level0_px=wide,
            height_level0_px=high,
            out_width_px=_OUT_PX,
            out_height_px=_OUT_PX,
            kernel=Image.Resampling.BOX,
        ).mean(axis=(0, 1))
        for x, y, wide, high in _boxes(slide.width_px, slide.height_px)
    ]
    return np.array(means).reshape(_GRID, _GRID, 3)


def _colours(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "row column 3"]:
    from PIL import Image

    image = Image.fromarray(picture)
    means = [
        np.asarray(image.resize((_OUT_PX, _OUT_PX), Image.Resampling.BOX, box=(x, y, x + wide, y + high))).mean((0, 1))
        for x, y, wide, high in _boxes(*image.size)
    ]
    return np.array(means).reshape(_GRID, _GRID, 3)


def _turned(colours: np.ndarray, quarters: int, mirrored: bool) -> np.ndarray:
    turned = np.rot90(colours, quarters)
    return turned[:, ::-1] if mirrored else turned


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of brightness; 1 where the copy shows nothing that varies."""
    grey = [colours.mean(axis=2).ravel() for colours in (one, other)]
    if grey[1].std() < 1:
        return 1.0
    return float(np.corrcoef(*grey)[0, 1]) if grey[0].std() > 0 else 0.0
