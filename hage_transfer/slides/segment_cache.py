"""Decoded tiles or strips of a file, kept as far as a limit of memory allows, and their places in a region."""

import numpy as np

from hage_transfer.running.byte_cache import ByteCache


class SegmentCache(ByteCache[np.ndarray]):
    """The segments that were used last."""

    def __init__(self, limit_bytes: int) -> None:
        """Takes the bytes that segments may take together."""
        super().__init__(limit_bytes, lambda segment: segment.nbytes)


def place(region: np.ndarray, segment: np.ndarray, left: int, top: int) -> None:
    """Copies what of ``segment``, whose corner lies at (left, top), falls into ``region``."""
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + segment.shape[1], region.shape[1]), min(top + segment.shape[0], region.shape[0])
    if x1 > x0 and y1 > y0:
        region[y0:y1, x0:x1] = segment[y0 - top : y1 - top, x0 - left : x1 - left]
