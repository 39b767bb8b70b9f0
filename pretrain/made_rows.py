"""Arrays whose rows are made as they are asked for, so that none is whole in memory where it is large."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

ENTRIES = 2**25
"""An array above this is not made whole."""
_AT_A_TIME = 2**22


@dataclass(frozen=True)
class MadeRows:
    """Rows on demand: what is read of an array by ``rows[...]``, ``len`` and ``shape``, and nothing else."""

    shape: tuple[int, int]
    make: Callable[[Any], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.make(rows)


Rows = Float[np.ndarray, "_ _"] | MadeRows


def made_rows(shape: tuple[int, int], make: Callable[[Any], np.ndarray]) -> Rows:
    """The array that ``make`` gives of ``slice(None)``, or its rows on demand where it is large."""
    return make(slice(None)) if shape[0] * shape[1] <= ENTRIES else MadeRows(shape, make)


def in_parts(rows: Int[np.ndarray, " row"], width: int, *, most: int = _AT_A_TIME) -> Iterator[np.ndarray]:
    """``rows`` in order, so many at a time that an array of ``width`` columns has few entries."""
    step = max(1, most // width)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def evenly_drawn(n_rows: int, width: int) -> Int[np.ndarray, " row"]:
    """All rows of an array of ``width`` columns, or evenly spaced ones where it is large."""
    most = max(1, ENTRIES // width)
    return np.arange(n_rows) if n_rows <= most else np.linspace(0, n_rows - 1, most).astype(np.int64)
