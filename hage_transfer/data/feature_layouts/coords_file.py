"""Files of tile coordinates: CLAM's ``patches/<slide>.h5``, TRIDENT's ``patches/<slide>_patches.h5``."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hage_transfer.data.feature_layouts.array_file import load_array
from hage_transfer.data.h5_file import open_h5
from hage_transfer.data.tile_coords import TileCoords, coords_of, whole_px
from hage_transfer.errors import DataError
from hage_transfer.slide_names import slide_name

_ANISOTROPY = 0.01


def read_coords(path: Path) -> TileCoords:
    """Reads a file of coordinates.

    Raises:
        DataError: missing, not h5 (or npy), or without ``coords`` (N, 2).
    """
    if path.suffix.lower() == ".npy":
        return TileCoords(whole_px(path, load_array(path, kinds="iuf")), {})
    with open_h5(path) as file:
        coords = coords_of(path, file)
        if coords is None:
            raise DataError(f"{path}: has no dataset `coords`, only {sorted(file)}; not a file of patches")
    return coords


def find_coords_file(features: Path, given: Path | None) -> Path | None:
    """The file of coordinates that belongs to a slide's features: as given, or in ``patches`` beside their folder.

    Args:
        features: the slide's features; its stem, or what ``slide_name`` leaves of it, is the slide's name.
        given: a file of coordinates, or a folder of them (or of a folder ``patches``).

    Raises:
        DataError: given, and not there.
    """
    if given is not None and given.is_file():
        return given
    folders = [features.parent.parent / "patches"] if given is None else [given, given / "patches"]
    stems = dict.fromkeys((features.stem, slide_name(features.stem)))
    endings = ("_patches.h5", ".h5", *([".npy"] if given else []))
    names = [f"{stem}{ending}" for stem in stems for ending in endings]
    found = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    found = [path for path in found if path.resolve() != features.resolve()]
    if given is not None and not found:
        raise DataError(f"{given}: holds no coords of slide {features.stem} ({' or '.join(names)}); see coords=")
    return found[0] if found else None


def patch_sizes(path: Path, attributes: Mapping[str, Any]) -> tuple[int, int]:
    """Side of a tile in the pixels that were read, and at level 0; 0 where the attributes do not say.

    CLAM records the side at ``patch_level``: it is a level-0 side only through the recorded downsample.

    Raises:
        DataError: a size or downsample that is no positive number.
    """
    size_px = round(_positive(path, attributes, "patch_size"))
    if "patch_size_level0" in attributes:
        return size_px, round(_positive(path, attributes, "patch_size_level0"))
    if "patch_level" not in attributes or not size_px:
        return size_px, 0
    at_level0 = attributes["patch_level"] == 0 and "downsample" not in attributes
    downsample = 1.0 if at_level0 else _positive(path, attributes, "downsample")
    custom = _positive(path, attributes, "custom_downsample") or 1.0
    return size_px, round(size_px * downsample * custom)


def _positive(path: Path, attributes: Mapping[str, Any], name: str) -> float:
    """A positive number (of a pair, the mean; 0 where its two differ, or where there is none)."""
    value = attributes.get(name, 0)
    if name not in attributes:
        return 0.0
    pair = value if isinstance(value, list) else [value]
    numbers = [part for part in pair if isinstance(part, int | float) and math.isfinite(part) and part > 0]
    if len(numbers) != len(pair) or len(pair) not in (1, 2):
        raise DataError(f"{path}: attribute {name} of coords is {value!r}, wanted a positive number")
    return sum(numbers) / len(numbers) if max(numbers) - min(numbers) <= _ANISOTROPY * max(numbers) else 0.0
