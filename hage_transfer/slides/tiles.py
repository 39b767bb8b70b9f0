"""Tiles of a slide: at exactly the resolution asked for, or of level-0 pixels as CLAM cuts them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8

from hage_transfer.config import SlideSetSettings
from hage_transfer.errors import DataError
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.tissue import TissueMask

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TileGrid:
    """Where the tiles of a slide are.

    Attributes:
        coords: top-left (x, y) at level 0, row by row.
        sizes_level0_px: width and height of a tile at level 0, not rounded; they differ where the slide's pixels are
            not square.
        tile_px: side of a tile in the pixels that the encoder sees.
        mpp_um_per_px: resolution that the encoder sees; None where the slide's is not known.
    """

    coords: Int[np.ndarray, "tile 2"]
    sizes_level0_px: tuple[float, float]
    tile_px: int
    mpp_um_per_px: float | None = None

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def size_level0_px(self) -> float:
        """Side of a tile at level 0, the mean of both sides, not rounded."""
        return sum(self.sizes_level0_px) / 2


def cut_tiles(slide: Slide, tissue: TissueMask, settings: SlideSetSettings) -> TileGrid:
    """The tiles that a config asks for.

    Raises:
        DataError: no tile is left.
    """
    if settings.tile_level0_px is not None:
        side = settings.tile_level0_px
        step = settings.stride_px or side
        return tile_level0(slide, tissue, tile_px=side, stride_px=step, min_tissue=settings.min_tissue)
    return tile_tissue(
        slide,
        tissue,
        tile_px=settings.tile_px,
        stride_px=settings.stride_px or settings.tile_px,
        mpp_um_per_px=settings.mpp_um_per_px,
        min_tissue=settings.min_tissue,
    )


def tile_tissue(
    slide: Slide, tissue: TissueMask, *, tile_px: int, stride_px: int, mpp_um_per_px: float, min_tissue: float
) -> TileGrid:
    """The tiles of a stated resolution that lie wholly in the slide and show tissue.

    Tile i begins at the level-0 pixel nearest to i steps, each rounded by itself; its side is not rounded, so the
    resolution is the one asked for.

    Args:
        slide: an open slide.
        tissue: its tissue.
        tile_px: side of a tile at ``mpp_um_per_px``.
        stride_px: step between tiles at ``mpp_um_per_px``.
        mpp_um_per_px: resolution of the tiles.
        min_tissue: least share of tissue, 0 to 1.

    Raises:
        DataError: the slide's resolution is not known, or no tile is left; the message says how many there were and
            what they held.
    """
    resolution = slide.known_resolution
    scales = mpp_um_per_px / resolution.x_um_per_px, mpp_um_per_px / resolution.y_um_per_px
    if min(scales) < 0.99:
        log.warning(
            "%s: scanned at %g um/px, coarser than the %g um/px asked for; tiles are enlarged",
            slide.path.name,
            max(resolution.x_um_per_px, resolution.y_um_per_px),
            mpp_um_per_px,
        )
    sizes = tile_px * scales[0], tile_px * scales[1]
    steps = stride_px * scales[0], stride_px * scales[1]
    coords = grid_coords(slide.width_px, slide.height_px, size_level0_px=sizes, step_level0_px=steps)
    kept = _with_tissue(slide, tissue, coords, sizes, min_tissue, f"{tile_px} px at {mpp_um_per_px:g} um/px")
    return TileGrid(kept, sizes, tile_px, mpp_um_per_px)


def tile_level0(slide: Slide, tissue: TissueMask, *, tile_px: int, stride_px: int, min_tissue: float) -> TileGrid:
    """CLAM's tiles: squares of level-0 pixels, not resampled, whatever the slide's resolution.

    Deviation: one grid from the slide's corner and a share of tissue, where CLAM begins a grid at the bounding box of
    every piece and looks at four points of a tile.

    Args:
        slide: an open slide.
        tissue: its tissue.
        tile_px: side, level-0 pixels.
        stride_px: step, level-0 pixels.
        min_tissue: least share of tissue, 0 to 1.

    Raises:
        DataError: no tile is left.
    """
    coords = grid_coords(slide.width_px, slide.height_px, size_level0_px=tile_px, step_level0_px=stride_px)
    sizes = float(tile_px), float(tile_px)
    kept = _with_tissue(slide, tissue, coords, sizes, min_tissue, f"{tile_px} level-0 px")
    mpp = None if slide.resolution is None else slide.resolution.mean_um_per_px
    return TileGrid(kept, sizes, tile_px, mpp)


def grid_coords(
    width_px: int,
    height_px: int,
    *,
    size_level0_px: float | tuple[float, float],
    step_level0_px: float | tuple[float, float],
) -> Int[np.ndarray, "tile 2"]:
    """Top-left corners, each step rounded by itself (halves up) so that no error adds up over a slide."""
    sizes = size_level0_px if isinstance(size_level0_px, tuple) else (size_level0_px,) * 2
    steps = step_level0_px if isinstance(step_level0_px, tuple) else (step_level0_px,) * 2
    x, y = np.meshgrid(_starts(width_px, sizes[0], steps[0]), _starts(height_px, sizes[1], steps[1]))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def iter_tiles(slide: Slide, grid: TileGrid) -> Iterator[UInt8[np.ndarray, "tile_px tile_px 3"]]:
    """Yields the tiles of ``grid`` in its order, resampled from the nearest finer level."""
    width, height = grid.sizes_level0_px
    for x, y in grid.coords:
        yield slide.read_box(
            int(x),
            int(y),
            width_level0_px=width,
            height_level0_px=height,
            out_width_px=grid.tile_px,
            out_height_px=grid.tile_px,
        )


def _starts(length_px: int, size_px: float, step_px: float) -> Int[np.ndarray, " start"]:
    count = int(np.floor((length_px - size_px) / step_px + 1e-9)) + 1
    places = np.floor(np.arange(max(count, 0)) * step_px + 0.5).astype(np.int64)
    return places[places + size_px <= length_px + 1e-6]


def _with_tissue(
    slide: Slide,
    tissue: TissueMask,
    coords: Int[np.ndarray, "tile 2"],
    sizes: tuple[float, float],
    min_tissue: float,
    kind: str,
) -> Int[np.ndarray, "kept 2"]:
    share = tissue.share(coords, size_level0_px=sizes)
    # a tile without any tissue is never wanted, even where the least share is 0
    kept: Bool[np.ndarray, " tile"] = (share >= min_tissue - 1e-9) & (share > 1e-9)
    if not kept.any():
        most = f"the most tissue in one is {share.max():.2f}" if len(coords) else "the slide is smaller than a tile"
        raise DataError(
            f"{slide.path}: none of {len(coords)} tiles of {kind} has a share of "
            f"tissue of {min_tissue:g} or more ({most}); see data.min_tissue"
        )
    return coords[kept]
