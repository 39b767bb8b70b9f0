"""Tiles of a slide at exactly the resolution asked for."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from hage_transfer.errors import DataError
from hage_transfer.slides.reader import SlideReader
from hage_transfer.slides.tissue import TissueMask

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TileGrid:
    """Where the tiles of a slide are.

    Attributes:
        coords: top-left (x, y) at level 0, row by row.
        size_level0_px: side of a tile at level 0, not rounded.
        tile_px: side of a tile in the pixels that the encoder sees.
    """

    coords: Int[np.ndarray, "tile 2"]
    size_level0_px: float
    tile_px: int

    def __len__(self) -> int:
        return len(self.coords)


def tile_tissue(
    slide: SlideReader, tissue: TissueMask, *, tile_px: int, stride_px: int, mpp_um_per_px: float, min_tissue: float
) -> TileGrid:
    """The tiles that lie wholly in the slide and show tissue.

    Args:
        slide: an open slide.
        tissue: its tissue.
        tile_px: side of a tile at ``mpp_um_per_px``.
        stride_px: step between tiles at ``mpp_um_per_px``.
        mpp_um_per_px: resolution of the tiles.
        min_tissue: least share of tissue, 0 to 1.

    Raises:
        DataError: no tile is left; the message says how many there were and what they held.
    """
    scale = mpp_um_per_px / slide.mpp_um_per_px
    if scale < 0.99:
        log.warning(
            "%s: scanned at %g um/px, coarser than the %g um/px asked for; tiles are enlarged",
            slide.path.name,
            slide.mpp_um_per_px,
            mpp_um_per_px,
        )
    size = tile_px * scale
    coords = grid_coords(slide.width_px, slide.height_px, size_level0_px=size, step_level0_px=stride_px * scale)
    share = tissue.share(coords, size_level0_px=size)
    # a tile without any tissue is never wanted, even where the least share is 0
    kept = coords[(share >= min_tissue) & (share > 0)]
    if not len(kept):
        most = f"the most tissue in one is {share.max():.2f}" if len(coords) else "the slide is smaller than a tile"
        raise DataError(
            f"{slide.path}: none of {len(coords)} tiles of {tile_px} px at {mpp_um_per_px:g} um/px has a share of "
            f"tissue of {min_tissue:g} or more ({most}); see data.min_tissue"
        )
    return TileGrid(kept, size, tile_px)


def grid_coords(
    width_px: int, height_px: int, *, size_level0_px: float, step_level0_px: float
) -> Int[np.ndarray, "tile 2"]:
    """Top-left corners, each step rounded by itself so that no error adds up over a slide."""

    def starts(length: int) -> np.ndarray:
        count = int(np.floor((length - size_level0_px) / step_level0_px + 1e-9)) + 1
        places = np.floor(np.arange(max(count, 0)) * step_level0_px + 0.5).astype(np.int64)
        return places[places + size_level0_px <= length + 1e-6]

    x, y = np.meshgrid(starts(width_px), starts(height_px))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def iter_tiles(slide: SlideReader, grid: TileGrid) -> Iterator[UInt8[np.ndarray, "tile_px tile_px 3"]]:
    """Yields the tiles of ``grid`` in its order, resampled from the nearest finer level."""
    for x, y in grid.coords:
        yield slide.read_square(int(x), int(y), size_level0_px=grid.size_level0_px, out_px=grid.tile_px)
