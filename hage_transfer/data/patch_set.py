"""The form of a labelled patch set: keys, labels, groups, and pixels that are read when asked for."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from hage_transfer.errors import DataError

_PLACE = re.compile(r"#\d+_\d+$")


def image_key(root: Path, path: Path) -> str:
    """By what name an image is known: its path relative to the folder of the images, where it lies in there."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def image_of(key: str) -> str:
    """The image that a patch is from.

    >>> image_of("a#1.png#224_0"), image_of("a#1.png")
    ('a#1.png', 'a#1.png')
    """
    return _PLACE.sub("", key)


@dataclass(frozen=True)
class PatchSource:
    """What patches are read from: one image, or one part of a set in h5.

    Attributes:
        key: the image's path relative to the root, or the part's name.
        path: of its file.
        rows: places of its patches in the set, in the order in which ``read`` gives them.
        read: opens it and yields its patches from one of them on (0: all).
    """

    key: str
    path: Path
    rows: range
    read: Callable[[int], Iterator[UInt8[np.ndarray, "height width 3"]]]


@dataclass(frozen=True, kw_only=True)
class PatchSet:
    """Labelled patches in a fixed order, their pixels read when asked for.

    Attributes:
        name: what it was read from.
        keys: unique; ``<image>#<x>_<y>`` for a tile.
        labels: class names, as text.
        groups: what must stay on one side of a split; None where the set gives none.
        image_keys: the image that each patch is from (the patch itself, where it is a whole image).
        coords: top-left (x, y) of each tile in its image, px; None for whole images.
        patch_px: side of the patches; None where they are whole images of several sizes.
        sources: the files, in the order of the patches.
    """

    name: str
    keys: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    image_keys: np.ndarray
    coords: Int[np.ndarray, "patch 2"] | None
    patch_px: int | None
    sources: tuple[PatchSource, ...]

    def __post_init__(self) -> None:
        twice = [key for key, times in Counter(self.keys.tolist()).items() if times > 1]
        if twice:
            raise DataError(f"{self.name}: {len(twice)} patches are listed more than once, first {twice[0]}")

    def __len__(self) -> int:
        return len(self.keys)

    def images(self, first: int = 0) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Yields the patches in the order of ``keys``, from row ``first`` on; one image is held at a time.

        Raises:
            DataError: an image that its header promised and its pixels do not keep.
        """
        for source in self.sources:
            if source.rows.stop > first:
                yield from source.read(max(first - source.rows.start, 0))
