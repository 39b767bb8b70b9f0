"""Spots' places on their array held against their positions in the image: what contradicts them is a fault of one."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

_SHARE_AT_ONE_PLACE = 0.05
_FEWEST = 4
_CLEAR = 0.8


def check_array_places(
    path: Path,
    name: str,
    spots: Sequence[str],
    coords_px: Float[np.ndarray, "spot 2"],
    array: np.ndarray | None,
    *,
    refuse: bool = True,
    bins: bool = False,
) -> None:
    """Refuses places on the array given for positions, or had by several spots; says where they lie mirrored.

    Args:
        path: of the file, for messages.
        name: of the section.
        spots: one name a row.
        coords_px: (x, y) of each in the image.
        array: (row, column) of each on the array; None, or all alike, where nothing is known of it.
        refuse: whether to refuse; else all is said, as where there is no image, in which positions would matter.
        bins: whether these are bins of Visium HD, whose array may be counted from any corner: no mirror is told of.

    Raises:
        DataError: see above.
    """
    if array is None or len(spots) < _FEWEST or not np.isfinite(array).all() or not np.ptp(array, axis=0).all():
        return
    if np.array_equal(coords_px, array) or np.array_equal(coords_px, array[:, ::-1]):
        _tell(
            f"{path}: the positions of section {name} are places on the array (spot {spots[0]} at row {array[0, 0]:g}, "
            f"column {array[0, 1]:g}), wanted pixels of the full-size image",
            refuse=refuse,
        )
        return
    if shared := _shared(path, name, spots, array):
        _tell(shared, refuse=refuse)
    fault = "" if bins else _mirrored(coords_px, array)
    if fault:
        log.warning(
            "%s: the spots of section %s lie as in a mirror of their array: %s? It is right only where the picture was "
            "flipped before the spots were placed on it; dry_run=True draws them",
            path,
            name,
            fault,
        )


def _tell(fault: str, *, refuse: bool) -> None:
    if refuse:
        raise DataError(fault)
    log.warning("%s", fault)


def _shared(path: Path, name: str, spots: Sequence[str], array: np.ndarray) -> str:
    """Which spots share a place, in words; empty where hardly any do."""
    _, of_spot, times = np.unique(array, axis=0, return_inverse=True, return_counts=True)
    shared = times[of_spot.ravel()] > 1
    if shared.mean() <= _SHARE_AT_ONE_PLACE:
        return ""
    first = np.flatnonzero(shared)[0]
    same = np.flatnonzero((array == array[first]).all(axis=1)).tolist()
    return (
        f"{path}: {int(shared.sum())} of {len(spots)} spots of section {name} share their place on the array with "
        f"another (spots {some([spots[row] for row in same], 3)}: row {array[first, 0]:g}, column "
        f"{array[first, 1]:g}); are they of several libraries (capture areas)? give each a section of its own"
    )


def _mirrored(coords_px: np.ndarray, array: np.ndarray) -> str:
    """What may have mirrored the spots; empty where nothing has: a slide may be turned, and lies face up."""
    if not np.ptp(coords_px, axis=0).all():
        return ""
    x_by_row, x_by_column, y_by_row, y_by_column = (
        float(np.corrcoef(coords_px[:, axis], array[:, place])[0, 1]) for axis in (0, 1) for place in (0, 1)
    )
    if x_by_column * y_by_row - x_by_row * y_by_column > -_CLEAR:
        return ""
    exchanged = min(x_by_row, y_by_column) > _CLEAR
    return "are x and y exchanged" if exchanged else "is x or y counted from the other side"
