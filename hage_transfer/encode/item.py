"""One feature file to be: what decides its rows, and the images that they come from."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.encode.extract import ImageSequence


@dataclass(frozen=True, kw_only=True)
class OpenItem:
    """The images of an item that is open, and what its feature file says of them.

    Attributes:
        images: by their places; none where the item is empty.
        keys: row names, or None.
        coords: level-0 top-left of each, or None.
        patch_size_px: side that the encoder is given.
        patch_size_level0_px: side at level 0.
        mpp_um_per_px: resolution that the encoder is given; None where it is not known.
        why_empty: why there are no images.
        tissue_mm2: area of tissue, for the status table.
        slide_mpp_um_per_px: resolution of level 0, likewise.
        slide_mpp_source: where that is from, in words.
    """

    images: ImageSequence
    keys: np.ndarray | None = None
    coords: np.ndarray | None = None
    patch_size_px: int = 0
    patch_size_level0_px: int = 0
    mpp_um_per_px: float | None = None
    why_empty: str = ""
    tissue_mm2: float | None = None
    slide_mpp_um_per_px: float | None = None
    slide_mpp_source: str = ""


@dataclass(frozen=True)
class Item:
    """One feature file to be: ``inputs()`` decide its rows together with the encoder, ``open()`` gives them.

    Both may raise an ``InputError`` or ``OSError``, which is then the item's own failure. ``glance()`` tells, likewise,
    whether what is read is still the same file.
    """

    name: str
    path: Path
    inputs: Callable[[], Mapping[str, Any]]
    open: Callable[[], AbstractContextManager[OpenItem]]
    glance: Callable[[], str]
