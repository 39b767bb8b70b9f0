"""Labelled patch sets: a manifest, folders, a file-name pattern or PCAM, read as one stream of images."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from hage_transfer.config import PatchSetSettings
from hage_transfer.errors import ConfigError, DataError


@dataclass(frozen=True)
class PatchSource:
    """What patches are read from: one image, or one part of a set in h5.

    Attributes:
        key: the image's path relative to the root, or the part's name.
        stamp: changes when the file does (its size, and its hash or time of change).
        rows: places of its patches in the set, in the order in which ``read`` gives them.
        read: opens it and yields its patches.
    """

    key: str
    stamp: str
    rows: range
    read: Callable[[], Iterator[UInt8[np.ndarray, "height width 3"]]]


@dataclass(frozen=True)
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

    def images(self) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Yields the patches in the order of ``keys``; one image is held at a time.

        Raises:
            DataError: an image that its header promised and its pixels do not keep.
        """
        for source in self.sources:
            yield from source.read()


def read_patch_set(settings: PatchSetSettings) -> PatchSet:
    """Finds the patches of a set and opens every header, so that a fault shows before hours of encoding.

    Raises:
        DataError: no such file or column, an image that is missing, unreadable, listed twice or smaller than a tile,
            a pattern that nothing matches, an empty label.
        ConfigError: keys that do not go together.
    """
    from hage_transfer.data.patch_images import read_image_set
    from hage_transfer.data.pcam import read_pcam

    _check(settings)
    return read_pcam(settings.root) if settings.layout == "pcam" else read_image_set(settings)


def _check(settings: PatchSetSettings) -> None:
    wanted = {"manifest": settings.manifest, "pattern": settings.pattern, "group_by": settings.group_by}
    owners = {"manifest": "manifest", "pattern": "pattern", "group_by": "pattern"}
    for key, value in wanted.items():
        if value is not None and settings.layout != owners[key]:
            raise ConfigError(f"data.{key} belongs to layout {owners[key]}, and data.layout is {settings.layout}")
        if value is None and key == settings.layout:
            raise ConfigError(f"data.layout {settings.layout} needs data.{key}; give it with --set data.{key}=...")
    if settings.layout == "pcam" and settings.tile_px is not None:
        raise ConfigError("data.tile_px: PCAM's patches are 96 px and are not cut; leave it out")
    if settings.stride_px is not None and settings.tile_px is None:
        raise ConfigError("data.stride_px needs data.tile_px, the side of the tiles it steps between")
