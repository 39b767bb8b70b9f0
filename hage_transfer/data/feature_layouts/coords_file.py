"""Files of tile coordinates: CLAM's ``patches/<slide>.h5``, TRIDENT's ``patches/<slide>_patches.h5``."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int

from hage_transfer.errors import DataError

_ANISOTROPY = 0.01
_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class TileCoords:
    """Level-0 top-left corners (x, y) of a slide's tiles, with the attributes that lie beside them."""

    values: Int[np.ndarray, "tile 2"]
    attributes: dict[str, Any]


@contextmanager
def open_h5(path: Path) -> Iterator[h5py.File]:
    """Opens an h5 file for reading.

    Raises:
        DataError: missing, or not h5.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read as h5 ({error}); copy or make it again") from None


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of h5 as plain values; those that are not set (TRIDENT writes the text None) are left out."""
    plain = {name: _plain(value) for name, value in attributes.items()}
    return {name: value for name, value in plain.items() if value not in (None, "None")}


def coords_of(path: Path, file: h5py.File) -> TileCoords | None:
    """The dataset ``coords`` of an open file, None where there is none.

    Raises:
        DataError: coords that are not (N, 2) whole numbers.
    """
    if "coords" not in file:
        return None
    found = file["coords"]
    shape = found.shape[1:] if found.ndim == 3 and found.shape[0] == 1 else found.shape
    if len(shape) != 2 or shape[1] != 2 or found.dtype.kind not in "iuf":
        raise DataError(f"{path}: coords are (N, 2) level-0 px, these have shape {found.shape} and type {found.dtype}")
    values = _in_parts(found).reshape(shape)
    whole = values.astype(np.int64) if np.isfinite(values).all() else None
    if whole is None or not np.array_equal(whole, values):
        raise DataError(f"{path}: coords are whole level-0 px, these hold fractions, NaN or infinity")
    return TileCoords(whole, plain_attributes(found.attrs))


def _in_parts(dataset: h5py.Dataset) -> np.ndarray:
    """All of (N, 2) numbers. CLAM and TRIDENT store a chunk a row, of which h5 holds some kB each in one read."""
    if dataset.ndim == 3:
        return np.asarray(dataset[...])
    parts = [dataset[start : start + _ROWS_AT_A_TIME] for start in range(0, len(dataset), _ROWS_AT_A_TIME)]
    return np.concatenate(parts) if parts else np.empty(dataset.shape, dataset.dtype)


def read_coords(path: Path) -> TileCoords:
    """Reads a file of coordinates.

    Raises:
        DataError: missing, not h5, or without ``coords`` (N, 2).
    """
    with open_h5(path) as file:
        coords = coords_of(path, file)
        if coords is None:
            raise DataError(f"{path}: has no dataset `coords`, only {sorted(file)}; not a file of patches")
    return coords


def find_coords_file(features: Path, given: Path | None) -> Path | None:
    """The file of coordinates that belongs to a slide's features: as given, or in ``patches`` beside their folder.

    Args:
        features: the slide's features; its stem is the slide's name.
        given: a file of coordinates, or a folder of them (or of a folder ``patches``).

    Raises:
        DataError: given, and not there.
    """
    if given is not None and given.is_file():
        return given
    folders = [features.parent.parent / "patches"] if given is None else [given, given / "patches"]
    names = (f"{features.stem}_patches.h5", f"{features.stem}.h5")
    found = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    found = [path for path in found if path.resolve() != features.resolve()]
    if given is not None and not found:
        raise DataError(f"{given}: holds no coords of slide {features.stem} ({' or '.join(names)}); see --coords")
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


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
