"""Tiles of another tool's feature file that cannot be meant: as many coords as rows, twice the same, rows of zeros."""

import logging
from pathlib import Path

import numpy as np

from hage_transfer.data.tile_coords import MOST_PX, TileCoords
from hage_transfer.errors import DataError
from hage_transfer.running.once import say_once

log = logging.getLogger(__name__)


def check_tiles(path: Path, tiles: TileCoords | None, n_rows: int) -> None:
    """Refuses another number of coords than of rows; tiles that are there twice are told, once a file.

    CLAM appends to a file that is there, so that an encoding which was started again leaves its tiles twice.

    Raises:
        DataError: see above.
    """
    if tiles is None:
        return
    coords = tiles.values
    if len(coords) != n_rows:
        raise DataError(f"{path}: {len(coords)} coords for {n_rows} rows of features; encode it again, or see coords=")
    repeated = len(coords) - len(np.unique(coords[:, 0] * (MOST_PX + 1) + coords[:, 1]))
    if repeated:
        _say(path, f"{repeated} of {n_rows} tiles lie where another one does, and count twice; was it encoded twice?")


def tell_zero_rows(path: Path, n_zero: int, n_rows: int) -> None:
    """Tells of rows of zeros, once a file: padding to one length, or tiles that failed, since no encoder gives them."""
    if n_zero:
        _say(path, f"{n_zero} of {n_rows} rows are all 0, and count as tiles; is it padding? write it without")


def _say(path: Path, what: str) -> None:
    say_once(log, logging.WARNING, path, f"{path}: {what}")
