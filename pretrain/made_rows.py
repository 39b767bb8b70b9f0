"""Arrays whose rows are made as they are asked for, so that none is whole in memory where it is large."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

ENTRIES = 2**25
"""An array above this is not made whole."""
_AT_A_TIME = 2**20
"""Entries of a part: of larger ones the system makes the pages anew each time, which takes longer than what is done."""


@dataclass(frozen=True)
class MadeRows:
    """Rows on demand: an array's ``rows[...]``, ``len`` and ``shape``; ``np.asarray`` makes it whole."""

    shape: tuple[int, int]
    make: Callable[[Any], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.make(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.make(slice(None)), dtype=dtype)


Rows = Float[np.ndarray, "_ _"] | MadeRows


def made_rows(shape: tuple[int, int], make: Callable[[Any], np.ndarray]) -> Rows:
    """The array that ``make`` gives of ``slice(None)``, or its rows on demand where it is large."""
    return make(slice(None)) if shape[0] * shape[1] <= ENTRIES else MadeRows(shape, make)


def taken(rows: Rows, chosen: Int[np.ndarray, " some"]) -> Rows:
    """Some rows of an array, in another array."""
    return made_rows((len(chosen), rows.shape[1]), lambda asked: rows[chosen[asked]])


def numbers(rows: Any, n_rows: int) -> Int[np.ndarray, " some"]:
    """Numbers of the rows that a slice, a mask or numbers pick of ``n_rows``."""
    return np.arange(*rows.indices(n_rows)) if isinstance(rows, slice) else np.arange(n_rows)[rows]


def in_parts(rows: Int[np.ndarray, " row"], width: int, *, most: int = _AT_A_TIME) -> Iterator[np.ndarray]:
    """``rows`` in order, so many at a time that an array of ``width`` columns has few entries."""
    step = max(1, most // width)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def slices(rows: Rows) -> Iterator[slice]:
    """Slices of an array, in order, as ``in_parts``."""
    for part in in_parts(np.arange(len(rows)), rows.shape[1]):
        yield slice(part[0], part[-1] + 1)


def column_means(rows: Rows) -> Float[np.ndarray, " column"]:
    """Mean of each column; of rows that are made in float64, part by part."""
    if not isinstance(rows, MadeRows):
        return rows.mean(0)
    return (sum(rows[part].sum(0, dtype=np.float64) for part in slices(rows)) / len(rows)).astype(np.float32)


def constant_columns(rows: Rows) -> Bool[np.ndarray, " column"]:
    """Which columns are one and the same number in all rows."""
    ends = [(part.min(0), part.max(0)) for part in (rows[at] for at in slices(rows))]
    low, high = (np.stack(side) for side in zip(*ends, strict=True))
    return low.min(0) == high.max(0)


def row_sums(rows: Rows) -> Float[np.ndarray, " row"]:
    """Sum of each row."""
    return np.concatenate([rows[part].sum(1) for part in slices(rows)])


def write_rows(file: h5py.File, key: str, rows: Rows) -> h5py.Dataset:
    """Writes an array (float32) into an open file, part by part, in one piece."""
    dataset = file.create_dataset(key, shape=rows.shape, dtype=np.float32)
    for part in slices(rows):
        dataset[part] = np.asarray(rows[part], dtype=np.float32)
        file.flush()
    return dataset


def evenly_drawn(n_rows: int, width: int, *, arrays: int = 1) -> Int[np.ndarray, " row"]:
    """All rows of an array of ``width`` columns, or evenly spaced ones where it is large.

    Args:
        n_rows: to draw from.
        width: columns.
        arrays: so many times the entries of an array that is made whole.
    """
    most = max(1, arrays * ENTRIES // width)
    return np.arange(n_rows) if n_rows <= most else np.linspace(0, n_rows - 1, most).astype(np.int64)
