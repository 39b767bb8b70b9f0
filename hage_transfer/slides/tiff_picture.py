"""Which page of a TIFF is the picture, and which pages are its reduced forms: by flags, else by what they show."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import tifffile

from hage_transfer.errors import DataError
from hage_transfer.slides.levels import is_reduced
from hage_transfer.slides.tiff_facts import check_channels, check_segments
from hage_transfer.slides.tiff_kind import MASK, decodable

_REDUCED, _MASK = 1, 4
_GRID, _CELLS, _BOX_PX, _ALIKE = 3, 8, 1024, 12.0
Read = Callable[[tifffile.TiffPage, int, int, int, int], np.ndarray]
"""(page, x, y, width, height) -> RGB."""


@dataclass(frozen=True)
class Picture:
    """The pages of a TIFF, told apart.

    Attributes:
        main: the picture at full size.
        reduced: pages marked as its reduced forms.
        unsure: pages that no mark tells from other pictures, of the picture's kind and shape.
        others: how many pages are none of these.
    """

    main: tifffile.TiffPage
    reduced: tuple[tifffile.TiffPage, ...]
    unsure: tuple[tifffile.TiffPage, ...]
    others: int


def find_picture(path: Path, tiff: tifffile.TiffFile) -> Picture:
    """Tells the pages apart; no pixel is read.

    Raises:
        DataError: reduced images and masks alone, or channels or planes in images of their own.
    """
    pages = [page for page in list(tiff.pages) if isinstance(page, tifffile.TiffPage)]
    full = [page for page in pages if not page.subfiletype & (_REDUCED | _MASK) and int(page.photometric) != MASK]
    if not full:
        raise DataError(f"{path}: its images are marked as reduced forms or masks of another, which is not in it")
    coloured = [page for page in full if int(page.photometric) not in (0, 1)]
    candidates = coloured or [page for page in full if page.bitspersample != 1] or full
    main = max(candidates, key=_area)
    if (largest := max(full, key=_area)) and _area(largest) > _area(main):
        raise DataError(
            f"{path}: its largest image ({largest.imagewidth} x {largest.imagelength} px) is grey, a smaller one is "
            "coloured, and nothing says which is the picture; save that one alone"
        )
    check_channels(path, tiff, main)
    stack = [page for page in candidates if not coloured and _size(page) == _size(main)]
    if len(stack) > 1:
        raise DataError(
            f"{path}: {len(stack)} grey images of one size: channels or planes of a stack, none of which is the "
            "picture; save it as 8-bit RGB"
        )
    subs = [page for page in main.pages or () if isinstance(page, tifffile.TiffPage) and _is_like(page, main)]
    marked = [page for page in pages if page.subfiletype & _REDUCED and _is_like(page, main)]
    unsure = [page for page in full if page is not main and _is_like(page, main)]
    if any(page is not main and page not in unsure for page in candidates):
        unsure, marked = [*unsure, *marked], []  # another picture is there: whose reduced forms are they?
    unsure = [page for page in unsure if is_reduced(_size(main), _size(page))]
    reduced = [*subs, *marked]
    for page in (*reduced, *unsure):
        check_segments(path, page, size=path.stat().st_size)
    others = len({id(page) for page in pages} - {id(page) for page in (main, *reduced, *unsure)})
    return Picture(main, tuple(reduced), tuple(unsure), others)


def shows_the_same(main: tifffile.TiffPage, page: tifffile.TiffPage, read: Read) -> bool:
    """Whether a page shows what ``main`` does, in nine places of both, each by the colours of its 64 squares."""
    large, small = _size(main), _size(page)
    if _area(main) <= _BOX_PX * _BOX_PX:
        return _near(read(main, 0, 0, *large), read(page, 0, 0, *small))
    factors = large[0] / small[0], large[1] / small[1]
    sides = [max(1, min(side, round(_BOX_PX / factor))) for side, factor in zip(small, factors, strict=True)]
    for steps in product(range(_GRID), repeat=2):
        starts = [(side - own) * step // (_GRID - 1) for side, own, step in zip(small, sides, steps, strict=True)]
        box = [_scaled(*facts) for facts in zip(starts, sides, factors, large, strict=True)]
        whole = read(main, box[0][0], box[1][0], box[0][1], box[1][1])
        if not _near(whole, read(page, *starts, *sides)):
            return False
    return True


def _scaled(start: int, length: int, factor: float, limit: int) -> tuple[int, int]:
    """Start and length in the larger image."""
    first = min(round(start * factor), limit - 1)
    return first, max(1, min(round(length * factor), limit - first))


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    cells = [cv2.resize(image, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).astype(int) for image in (one, other)]
    return float(np.abs(cells[0] - cells[1]).mean()) <= _ALIKE


def _is_like(page: tifffile.TiffPage, main: tifffile.TiffPage) -> bool:
    """Whether a page is smaller and of samples like the picture's."""
    same = (page.samplesperpixel, page.dtype) == (main.samplesperpixel, main.dtype)
    a_mask = page.subfiletype & _MASK or int(page.photometric) == MASK
    return same and not a_mask and 0 < page.imagewidth < main.imagewidth and page.imagelength > 0 and decodable(page)


def _size(page: tifffile.TiffPage) -> tuple[int, int]:
    return int(page.imagewidth), int(page.imagelength)


def _area(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)
