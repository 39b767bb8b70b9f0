"""The orientation tag of TIFF (274) and EXIF, obeyed: a picture is shown as its file says that it stands."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from hage_transfer.slides.resolution import Recorded
from hage_transfer.slides.sources import PixelSource


class Turn(NamedTuple):
    """How stored pixels become shown ones: rows and columns exchanged first, then mirrored."""

    transposed: bool
    mirrored_x: bool
    mirrored_y: bool


TURNS = {
    2: Turn(False, True, False),
    3: Turn(False, True, True),
    4: Turn(False, False, True),
    5: Turn(True, False, False),
    6: Turn(True, True, False),
    7: Turn(True, True, True),
    8: Turn(True, False, True),
}


def turned(source: PixelSource, orientation: object) -> PixelSource:
    """The source as its orientation tag shows it: itself for 1, none, and values that mean nothing."""
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return source if turn is None else _TurnedSource(source, turn)


class _TurnedSource:
    """See ``PixelSource``."""

    origin_px: tuple[int, int] = (0, 0)

    def __init__(self, source: PixelSource, turn: Turn) -> None:
        self._source, self._turn = source, turn
        sizes = source.level_sizes_px
        self.level_sizes_px = tuple((high, wide) for wide, high in sizes) if turn.transposed else sizes
        self.recorded = tuple(map(_swapped, source.recorded)) if turn.transposed else source.recorded
        self.scanner = getattr(source, "scanner", "")
        self.notes = (*source.notes, "turned as its orientation tag says")

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        wide, high = self.level_sizes_px[level]
        x = wide - x_px - width_px if self._turn.mirrored_x else x_px
        y = high - y_px - height_px if self._turn.mirrored_y else y_px
        if self._turn.transposed:
            region = self._source.read(level, y, x, height_px, width_px).transpose(1, 0, 2)
        else:
            region = self._source.read(level, x, y, width_px, height_px)
        region = region[:, ::-1] if self._turn.mirrored_x else region
        return np.ascontiguousarray(region[::-1] if self._turn.mirrored_y else region)

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._source.close()


def _swapped(place: Recorded) -> Recorded:
    return Recorded(place.y_um_per_px, place.x_um_per_px, place.source)
