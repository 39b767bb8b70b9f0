"""Centres of spots in an h5ad file: ``obsm["spatial"]``, an array or a table whose columns may say which is x."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hage_transfer.data.sections.h5ad import EXACT_IN_HALF, H5adFile
from hage_transfer.errors import DataError, some

_X = frozenset({"x", "col", "column", "imagecol", "pxlcol", "pixelx", "xcoord", "xcentroid"})
_Y = frozenset({"y", "row", "imagerow", "pxlrow", "pixely", "ycoord", "ycentroid"})


def centres_of(file: H5adFile) -> Float[np.ndarray, "spot 2"]:
    """(x, y) of every spot, level-0 pixels; of a table by the names of its columns, where they say which is which.

    Raises:
        DataError: no ``obsm["spatial"]``, not two numbers a spot, or columns whose names contradict.
    """
    coords = file.array("obsm", "spatial")
    if coords is None:
        raise DataError(
            f'{file.path}: no obsm["spatial"], the (x, y) of each spot in level-0 pixels; '
            f"obsm holds {some(file.keys('obsm')) or 'nothing'}"
        )
    if coords.ndim != 2 or coords.shape[1] != 2 or not np.issubdtype(coords.dtype, np.number):
        raise DataError(f'{file.path}: obsm["spatial"] is (spot, 2) numbers, this is {coords.dtype} of {coords.shape}')
    if len(coords) != len(file.index("obs")) or np.iscomplexobj(coords):
        raise DataError(f'{file.path}: obsm["spatial"] has {len(coords)} rows for {len(file.index("obs"))} spots')
    if coords.dtype == np.float16 and np.abs(coords).max(initial=0) > EXACT_IN_HALF:
        raise DataError(
            f'{file.path}: obsm["spatial"] is in half precision (float16), which rounds what is above {EXACT_IN_HALF}; '
            "write it as float32"
        )
    names = file.columns("obsm", "spatial")
    return coords[:, _order(file.path, names)].astype(np.float64) if names else coords.astype(np.float64)


def _order(path: Path, names: Sequence[str]) -> list[int]:
    """Places of x and y among two columns: by their names, and as they lie where neither says anything."""
    axes = ["".join(_axes(name)) for name in names]
    if axes == ["", ""]:
        return [0, 1]
    if sorted(axes) != ["x", "y"]:
        raise DataError(
            f'{path}: the columns of obsm["spatial"] are {" and ".join(names)}, which do not say which is x (pixels to '
            "the right) and which is y (pixels down); call them x and y"
        )
    return [axes.index("x"), axes.index("y")]


def _axes(name: str) -> list[str]:
    """What a column's name says it is: `pxl_col_in_fullres` is x, `imagerow` is y, `spatial1` is nothing."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    return [axis for axis, known in (("x", _X), ("y", _Y)) if words & known]
