"""Decoded tiles or strips of a file, kept as far as a limit of memory allows, and their places in a region."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np


class SegmentCache:
    """The segments that were used last; safe to use from several threads."""

    def __init__(self, limit_bytes: int) -> None:
        """Takes the bytes that segments may take together; one is kept in any case."""
        self._limit, self._bytes = limit_bytes, 0
        self._kept: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> np.ndarray | None:
        """A segment that is kept; None where it is not."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: Hashable, segment: np.ndarray) -> None:
        """Keeps a segment and lets go of those that were not used for longest."""
        with self._lock:
            if key in self._kept:
                return  # another thread was first
            self._kept[key] = segment
            self._bytes += segment.nbytes
            while self._bytes > self._limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


def place(region: np.ndarray, segment: np.ndarray, left: int, top: int) -> None:
    """Copies what of ``segment``, whose corner lies at (left, top), falls into ``region``."""
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + segment.shape[1], region.shape[1]), min(top + segment.shape[0], region.shape[0])
    if x1 > x0 and y1 > y0:
        region[y0:y1, x0:x1] = segment[y0 - top : y1 - top, x0 - left : x1 - left]
