"""The range of a layer over all slides of a source, so that one slide's colours can be held against the cohort's."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cachetools import LRUCache

from hage_transfer.errors import DataError
from hage_transfer.running.file_stamp import stamp_in_url
from hage_transfer.viewer.layer import GeneSets, Layer, NoSuchLayerError, layer_values
from hage_transfer.viewer.tile_table import read_tile_table

_SHARES, _KEPT = (0.01, 0.99), 2**16
_Ends = tuple[float, float] | None


@dataclass(frozen=True)
class CohortRange:
    """From the lowest slide's 1st to the highest slide's 99th percentile.

    Attributes:
        low: None where no slide has the layer.
        high: likewise.
        n_with: slides that have it.
        n_read: slides that were looked at.
        n_slides: of the source.
    """

    low: float | None
    high: float | None
    n_with: int
    n_read: int
    n_slides: int


class CohortRanges:
    """Ranges of layers; what a slide has is kept, so that asking again goes on where the time was up. Thread-safe."""

    def __init__(self) -> None:
        self._ends: LRUCache[tuple[str, Layer], _Ends] = LRUCache(_KEPT)
        self._lock = threading.Lock()

    def of(self, paths: Sequence[Path], layer: Layer, sets: GeneSets, *, budget_s: float) -> CohortRange:
        """Range of a layer over tile tables, as far as it is known when ``budget_s`` is over; of one at the least."""
        until, found = time.monotonic() + budget_s, list[_Ends]()
        with self._lock:
            for path in paths:
                if found and time.monotonic() > until:
                    break
                found.append(self._of_slide(path, layer, sets))
        known = [one for one in found if one is not None]
        low, high = (min(one[0] for one in known), max(one[1] for one in known)) if known else (None, None)
        return CohortRange(low, high, len(known), len(found), len(paths))

    def _of_slide(self, path: Path, layer: Layer, sets: GeneSets) -> _Ends:
        try:
            key = stamp_in_url(path), layer
            if key not in self._ends:
                table = read_tile_table(path)
                for name, values in table.columns.items():
                    self._ends[key[0], Layer("column", name)] = _ends(values)
                if layer.kind != "column":
                    self._ends[key] = _ends(layer_values(table, layer, sets))
            return self._ends.get(key)
        except (DataError, NoSuchLayerError):  # it is told when that slide is opened
            return None


def _ends(values: np.ndarray) -> _Ends:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    ranked = np.sort(finite)
    low, high = (float(ranked[math.floor(share * (len(ranked) - 1) + 0.5)]) for share in _SHARES)  # as the page does
    return low, high
