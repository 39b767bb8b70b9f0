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
    """The tiles that a config asks for, that lie wholly in the slide and show tissue.

    They are of a stated resolution, or squares of level-0 pixels, not resampled, as CLAM cuts them. Tile i begins at
    the level-0 pixel nearest to i steps, each rounded by itself; its side is not rounded, so the resolution is the one
    asked for.

    Deviation: one grid from the slide's corner and a share of tissue, where CLAM begins a grid at the bounding box of
    every piece and looks at four points of a tile.

    Raises:
        DataError: the slide's resolution is needed and not known, or no tile is left; the message says how many there
            were and what they held.
    """
    mpp: float | None
    if settings.tile_level0_px is None:
        resolution = slide.known_resolution
        tile_px, mpp = settings.tile_px, settings.mpp_um_per_px
        scales = settings.mpp_um_per_px / resolution.x_um_per_px, settings.mpp_um_per_px / resolution.y_um_per_px
        kind = f"{tile_px} px at {mpp:g} um/px"
        if min(scales) < 0.99:
            log.warning(
                "%s: scanned at %g um/px, coarser than the %g um/px asked for; tiles are enlarged",
                slide.path.name,
                max(resolution.x_um_per_px, resolution.y_um_per_px),
                mpp,
            )
    else:
        tile_px, scales, kind = settings.tile_level0_px, (1.0, 1.0), f"{settings.tile_level0_px} level-0 px"
        mpp = None if slide.resolution is None else slide.resolution.mean_um_per_px
    stride_px = settings.stride_px or tile_px
    sizes, steps = ((side * scales[0], side * scales[1]) for side in (tile_px, stride_px))
    coords = grid_coords(slide.width_px, slide.height_px, size_level0_px=sizes, step_level0_px=steps)
    share, least = tissue.share(coords, size_level0_px=sizes), settings.min_tissue
    # a tile without any tissue is never wanted, even where the least share is 0
    kept: Bool[np.ndarray, " tile"] = (share >= least - 1e-9) & (share > 1e-9)
    if not kept.any():
        most = f"the most tissue in one is {share.max():.2f}" if len(coords) else "the slide is smaller than a tile"
        raise DataError(
            f"{slide.path}: none of {len(coords)} tiles of {kind} has a share of "
            f"tissue of {least:g} or more ({most}); {_remedy(settings)}"
        )
    return TileGrid(coords[kept], sizes, tile_px, mpp)


def _remedy(settings: SlideSetSettings) -> str:
    if settings.tissue.method == "clam":
        return "CLAM's mask wants glass around the tissue: where tissue fills the image, set data.tissue.method=auto"
    return "look at its outline (`tissue`), and set data.min_tissue=... lower if that is right"


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
