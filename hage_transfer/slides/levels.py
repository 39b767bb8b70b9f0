"""The levels of a pyramid and their exact factors."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

_ROUNDING_PX = 1.01
_SAME_ASPECT = 0.005


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Attributes:
        index: its number in the file.
        width_px: in its own pixels.
        height_px: in its own pixels.
        downsample_x: level-0 pixels per pixel along x.
        downsample_y: along y.
    """

    index: int
    width_px: int
    height_px: int
    downsample_x: float
    downsample_y: float

    @property
    def downsample(self) -> float:
        """The larger of both factors: how coarse the level is."""
        return max(self.downsample_x, self.downsample_y)


def usable_levels(sizes_px: Sequence[tuple[int, int]], *, name: str) -> tuple[Level, ...]:
    """The levels whose size is level 0's divided by one factor; others are left out, and the log says which.

    A level that shows something else (a label, another crop) or whose height and width were divided differently would
    put every tile in the wrong place.

    Args:
        sizes_px: (width, height) of each level, level 0 first.
        name: of the slide, for the log.
    """
    width, height = sizes_px[0]
    levels = [Level(0, width, height, 1.0, 1.0)]
    for index, (w, h) in enumerate(sizes_px[1:], start=1):
        factors = _factors((width, height), (w, h))
        if factors is None:
            log.warning(
                "%s: level %d (%d x %d px) is not level 0 (%d x %d px) reduced by one factor; it is not read",
                name, index, w, h, width, height,
            )  # fmt: skip
            continue
        levels.append(Level(index, w, h, *factors))
    return tuple(levels)


def is_reduced(level0_px: tuple[int, int], level_px: tuple[int, int]) -> bool:
    """Whether a level has level 0's (width, height), divided by one factor."""
    return _factors(level0_px, level_px) is not None


def _factors(level0_px: tuple[int, int], level_px: tuple[int, int]) -> tuple[float, float] | None:
    """Factors of a level: a whole number where the level's sides are level 0's divided by it and rounded.

    A side of 741 px out of 2967 is a quarter, rounded, not 1 / 4.004, which would be a pixel off at the far end. None
    where both sides were not divided by the same.
    """
    if not all(0 < small <= large for large, small in zip(level0_px, level_px, strict=True)):
        return None
    ratios = [large / small for large, small in zip(level0_px, level_px, strict=True)]
    for whole in (2 ** round(math.log2(max(ratios))), *map(round, ratios)):
        if all(abs(small - large / whole) < _ROUNDING_PX for large, small in zip(level0_px, level_px, strict=True)):
            return float(whole), float(whole)
    allowed = [_SAME_ASPECT + _ROUNDING_PX / side for side in level_px]
    if abs(ratios[0] / ratios[1] - 1) > sum(allowed):
        return None
    return ratios[0], ratios[1]
