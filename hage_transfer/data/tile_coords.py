"""The dataset ``coords`` of a feature file or of a file of patches, whoever wrote it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int, Real

from hage_transfer.data.h5_file import plain_attributes, stored_dataset
from hage_transfer.errors import DataError

MOST_PX = 2_000_000
"""No scanner makes a longer side."""
_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class TileCoords:
    """Level-0 top-left corners (x, y) of a slide's tiles, with the attributes that lie beside them."""

    values: Int[np.ndarray, "tile 2"]
    attributes: dict[str, Any]


def coords_of(path: Path, file: h5py.File, *, um_per_px: float | None = None) -> TileCoords | None:
    """The dataset ``coords`` of an open file, None where there is none.

    Args:
        path: of the file, for messages.
        file: open.
        um_per_px: level-0 resolution by which coords in um are divided; None: they are pixels.

    Raises:
        DataError: coords that are not (N, 2) whole numbers of pixels, or that lie on no slide.
    """
    found = stored_dataset(path, file, "coords", kinds="iuf")
    if found is None:
        return None
    shape = found.shape[1:] if found.ndim == 3 and found.shape[0] == 1 else found.shape
    if len(shape) != 2 or shape[1] != 2:
        raise _misshapen(path, found)
    values = _in_parts(found).reshape(shape)
    if um_per_px is not None:
        values = np.rint(values / um_per_px)
    return TileCoords(whole_px(path, values), plain_attributes(found.attrs))


def whole_px(path: Path, values: np.ndarray) -> Int[np.ndarray, "tile 2"]:
    """Coords as whole numbers.

    Raises:
        DataError: not (N, 2), fractions, NaN, negative numbers or such as no slide is wide.
    """
    if values.ndim != 2 or values.shape[1] != 2:
        raise _misshapen(path, values)
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and np.array_equal(np.rint(values), values)):
        raise DataError(f"{path}: coords are whole level-0 px, these hold fractions, NaN or infinity")
    if len(values) and (values.min() < 0 or values.max() > MOST_PX):
        raise DataError(
            f"{path}: coords are level-0 px of a slide, 0 to {MOST_PX:,}; these go from {values.min():g} to "
            f"{values.max():g}; encode it again"
        )
    return values.astype(np.int64)


def refuse_outside(coords: Real[np.ndarray, "tile 2"], slide: Path, *, size_px: tuple[int, int], of: str) -> None:
    """Refuses tiles that lie wholly outside a slide, as those of another slide or level do.

    Args:
        coords: top-left (x, y) of each.
        slide: file of the slide, for the message.
        size_px: its width and height at level 0.
        of: whose tiles they are, for the message.

    Raises:
        DataError: see above.
    """
    outside = (np.asarray(coords) >= size_px).any(axis=1)
    if outside.any():
        x, y = np.asarray(coords)[outside][0].tolist()
        raise DataError(
            f"{of}: {int(outside.sum())} of {len(coords)} tiles lie outside {slide} ({size_px[0]} x {size_px[1]} px), "
            f"the first at ({x:g}, {y:g}); coords are level-0 px: is it another slide, or a smaller copy of it?"
        )


def _misshapen(path: Path, met: h5py.Dataset | np.ndarray) -> DataError:
    return DataError(f"{path}: coords are (N, 2) level-0 px, these have shape {met.shape} and type {met.dtype}")


def _in_parts(dataset: h5py.Dataset) -> np.ndarray:
    """All of (N, 2) numbers. CLAM and TRIDENT store a chunk a row, of which h5 holds some kB each in one read."""
    if dataset.ndim == 3:
        return np.asarray(dataset[...])
    parts = [dataset[start : start + _ROWS_AT_A_TIME] for start in range(0, len(dataset), _ROWS_AT_A_TIME)]
    return np.concatenate(parts) if parts else np.empty(dataset.shape, dataset.dtype)
