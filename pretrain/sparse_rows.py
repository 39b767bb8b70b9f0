"""Counts of many spots, those above 0 alone, in arrays that may lie on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from hage_transfer.pretrain.growing_array import GrowingArray
from hage_transfer.pretrain.made_rows import numbers


class SparseRows:
    """Sparse matrices that are stacked part by part.

    Args:
        width: columns of each.
        folder: where large arrays are kept; see ``GrowingArray``.
    """

    def __init__(self, width: int, folder: Path) -> None:
        self._width = width
        self._values, self._columns = GrowingArray(folder), GrowingArray(folder)
        self._sizes: list[np.ndarray] = []

    def append(self, part: sp.csr_matrix) -> None:
        """Adds rows below those that are there."""
        self._values.append(part.data)
        self._columns.append(part.indices.astype(np.uint16 if self._width <= 2**16 else np.int32))
        self._sizes.append(np.diff(part.indptr))

    def finish(self) -> Callable[[Any], sp.csr_matrix]:
        """Gives some rows of the stack (a slice, a mask or their numbers), in memory."""
        values, columns = self._values.finish(), self._columns.finish()
        starts = np.concatenate([[0], np.cumsum(np.concatenate(self._sizes), dtype=np.int64)])

        def rows(asked: Any) -> sp.csr_matrix:
            chosen = numbers(asked, len(starts) - 1)
            sizes = starts[chosen + 1] - starts[chosen]
            ends = np.concatenate([[0], np.cumsum(sizes)])
            places = np.repeat(starts[chosen] - ends[:-1], sizes) + np.arange(ends[-1])
            found = values[places], columns[places].astype(np.int32), ends
            return sp.csr_matrix(found, shape=(len(chosen), self._width))

        return rows
