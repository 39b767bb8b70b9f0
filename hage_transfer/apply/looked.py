"""What a look at one slide, image or feature file tells without scoring it, and what is kept of training units."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.apply.stain import Pixels
from hage_transfer.config import SlideSetSettings
from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.patches import tile_grid
from hage_transfer.slides.reader import open_picture
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.survey import look, open_config_slide

CHANNELS = ("red", "green", "blue")
COLUMNS = ("scanner", "mpp_um_per_px", "tissue_share", "tiles", *(f"stain_{name}" for name in CHANNELS))
"""Of ``training.csv`` and ``health.csv``: level-0 resolution, tissue of the slide's area, mean optical density."""
_UM2_PER_MM2 = 1e6


@dataclass(frozen=True)
class Look:
    """Of one unit; what is not known is None.

    Attributes:
        scanner: maker and model; empty where the file does not say.
        mpp_um_per_px: of level 0.
        area_mm2: of the whole slide.
        tissue_share: of that.
        coords: top-left of its tiles; None where it is one whole image.
        no_tiles: why there is none; empty where there are some.
    """

    scanner: str = ""
    mpp_um_per_px: float | None = None
    area_mm2: float | None = None
    tissue_share: float | None = None
    coords: Int[np.ndarray, "tile 2"] | None = None
    no_tiles: str = ""


def look_at(pixels: Pixels, *, tissue: bool) -> Look:
    """Opens a picture; its tissue and tiles are found where they are asked for.

    Raises:
        InputError: it cannot be read.
    """
    data = pixels.data
    if not isinstance(data, SlideSetSettings):
        with open_picture(pixels.path) as image:
            side = data.tile_px
            sizes = image.width_px, image.height_px
            grid = None if side is None else tile_grid(*sizes, tile_px=side, stride_px=data.stride_px or side)
            return Look(image.scanner, coords=grid)
    with open_config_slide(pixels.path, data, own_mpp_um_per_px=pixels.own_mpp_um_per_px) as slide:
        mpp = None if slide.resolution is None else slide.mpp_um_per_px
        area = _area_mm2(slide)
        if not tissue:
            return Look(slide.scanner, mpp, area)
        found = look(slide, data)
        coords = np.zeros((0, 2), np.int64) if found.grid is None else found.grid.coords
        return Look(
            slide.scanner,
            mpp,
            area,
            float(found.tissue.mask.mean()),
            coords,
            found.why_no_tiles.removeprefix(f"{slide.path}: "),
        )


def _area_mm2(slide: Slide) -> float | None:
    found = slide.resolution
    if found is None:
        return None
    return slide.width_px * found.x_um_per_px * slide.height_px * found.y_um_per_px / _UM2_PER_MM2


def level0_um_per_px(meta: FeatureMeta) -> float | None:
    """Resolution of a slide by what the file of its features says; None where it does not."""
    if not (meta.mpp_um_per_px and meta.patch_size_px and meta.patch_size_level0_px):
        return None
    return meta.mpp_um_per_px * meta.patch_size_px / meta.patch_size_level0_px


def row_of(look: Look, *, tiles: int | None, stain: Float[np.ndarray, " 6"] | None) -> dict[str, Any]:
    """A unit's values by ``COLUMNS``."""
    densities = [None] * len(CHANNELS) if stain is None else stain[: len(CHANNELS)].tolist()
    return dict(zip(COLUMNS, (look.scanner, look.mpp_um_per_px, look.tissue_share, tiles, *densities), strict=True))
