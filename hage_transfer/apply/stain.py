"""How a slide is stained: mean and spread of its tissue's optical density in red, green and blue."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from hage_transfer.config import PatchSetSettings, SlideSetSettings
from hage_transfer.running.progress import Progress
from hage_transfer.slides.reader import open_picture
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.survey import open_config_slide
from hage_transfer.slides.tiles import TileGrid, iter_tiles

N_NUMBERS = 6
MOST_TILES = 16
_STEP_PX = 3
_GLASS = 0.05
"""Mean optical density below which a pixel shows no tissue."""


@dataclass(frozen=True)
class Pixels:
    """Where the pixels of a bag or patch are.

    Attributes:
        path: slide or image.
        data: how it is read.
        own_mpp_um_per_px: level-0 resolution of a slide by its table.
    """

    path: Path
    data: SlideSetSettings | PatchSetSettings
    own_mpp_um_per_px: float | None = None

    def stain(self, coords: Int[np.ndarray, "tile 2"] | None) -> Float[np.ndarray, " 6"]:
        """Of at most 16 tiles, spread over all.

        Args:
            coords: level-0 top-left of each tile, px; None: the whole image.

        Raises:
            InputError: it cannot be read.
        """
        return self.stains([coords])[0]

    def stains(self, units: Sequence[Int[np.ndarray, "tile 2"] | None]) -> list[Float[np.ndarray, " 6"]]:
        """``stain`` of several patches of one image, which is opened once."""
        with self._open() as picture:
            return [stain_numbers(self._tiles(picture, coords)) for coords in units]

    def _open(self) -> AbstractContextManager[Slide]:
        if isinstance(self.data, SlideSetSettings):
            return open_config_slide(self.path, self.data, own_mpp_um_per_px=self.own_mpp_um_per_px)
        return open_picture(self.path)

    def _tiles(self, picture: Slide, coords: np.ndarray | None) -> list[np.ndarray]:
        chosen = None if coords is None else coords[spread_rows(len(coords), MOST_TILES)]
        if isinstance(self.data, SlideSetSettings):
            return _slide_tiles(picture, self.data, np.zeros((0, 2), np.int64) if chosen is None else chosen)
        if chosen is None or self.data.tile_px is None:
            return [picture.read_region(0, 0, level=0, width_px=picture.width_px, height_px=picture.height_px)]
        side = self.data.tile_px
        return [picture.read_region(x, y, level=0, width_px=side, height_px=side) for x, y in chosen.tolist()]


def stains_of(
    units: Mapping[int, tuple[Pixels, Int[np.ndarray, "tile 2"] | None]], progress: Progress | None = None
) -> dict[int, Float[np.ndarray, " 6"]]:
    """``Pixels.stain`` of units, each with its places; a picture that holds several is opened once. Errors likewise."""
    pictures: dict[Path, list[int]] = {}
    for unit, (pixels, _) in units.items():
        pictures.setdefault(pixels.path, []).append(unit)
    found: dict[int, Float[np.ndarray, " 6"]] = {}
    for members in pictures.values():
        pixels, _ = units[members[0]]
        found |= zip(members, pixels.stains([units[unit][1] for unit in members]), strict=True)
        if progress is not None:
            progress(len(found), len(units), "stain of its images")
    return found


def _slide_tiles(slide: Slide, data: SlideSetSettings, places: np.ndarray) -> list[np.ndarray]:
    if data.tile_level0_px is not None:
        side = float(data.tile_level0_px)
        return list(iter_tiles(slide, TileGrid(places, (side, side), data.tile_level0_px)))
    found = slide.known_resolution
    um = data.tile_px * data.mpp_um_per_px
    grid = TileGrid(places, (um / found.x_um_per_px, um / found.y_um_per_px), data.tile_px)
    return list(iter_tiles(slide, replace(grid, mpp_um_per_px=data.mpp_um_per_px)))


def stain_numbers(images: Sequence[UInt8[np.ndarray, "height width 3"]]) -> Float[np.ndarray, " 6"]:
    """Mean, then std, of the optical density (base 10) of tissue in each channel; of all where there is no tissue."""
    pixels = np.concatenate([image[::_STEP_PX, ::_STEP_PX].reshape(-1, 3) for image in images])
    density = -np.log10((pixels.astype(np.float64) + 1) / 256)
    tissue = density[density.mean(axis=1) > _GLASS]
    kept = tissue if len(tissue) else density
    return np.concatenate([kept.mean(axis=0), kept.std(axis=0)])


def spread_rows(n_rows: int, most: int) -> Int[np.ndarray, " row"]:
    """At most so many of the rows, evenly spread over them."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, most)).round().astype(np.int64))
