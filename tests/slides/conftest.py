"""Small writers of slides: pyramids whose pixels say where they are, and painted tissue."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hage_transfer.config import SlideSetSettings
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.tiles import cut_tiles, iter_tiles
from hage_transfer.slides.tissue import find_tissue

PERIOD_PX = 64
MPP = 4.0


def position_level(width: int, height: int, factor: int) -> np.ndarray:
    """Pixels of one level that encode their centre at level 0, to a quarter of a level-0 pixel.

    Red is x modulo 64, times 4; green is y likewise; blue holds which of 16 x 16 squares of 64 px it is.
    """
    x = (np.arange(width // factor) + 0.5) * factor
    y = (np.arange(height // factor) + 0.5) * factor
    image = np.empty((len(y), len(x), 3), np.uint8)
    image[..., 0] = np.round((x % PERIOD_PX) * 4 - 0.25)[None, :]
    image[..., 1] = np.round((y % PERIOD_PX) * 4 - 0.25)[:, None]
    image[..., 2] = (x // PERIOD_PX % 16 * 16)[None, :] + (y // PERIOD_PX % 16)[:, None]
    return image


def write_levels(path: Path, levels: list[np.ndarray], *, mpp: float | tuple[float, float] | None, **options) -> Path:
    """A TIFF of reduced pages; ``mpp`` goes into its resolution tags."""
    x_mpp, y_mpp = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    bigtiff = options.pop("bigtiff", False)
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as tiff:
        for number, level in enumerate(levels):
            factor = levels[0].shape[1] / level.shape[1]
            tags = {}
            if x_mpp and y_mpp:
                tags = {"resolution": (1e4 / x_mpp / factor, 1e4 / y_mpp / factor), "resolutionunit": "CENTIMETER"}
            how = {"tile": (64, 64), "photometric": "rgb", "metadata": None} | options
            tiff.write(level, subfiletype=int(number > 0), **how, **tags)
    return path


@pytest.fixture(scope="session")
def write_pyramid() -> Callable[..., Path]:
    """Writer of a TIFF: (path, levels, mpp=..., tifffile's own options)."""
    return write_levels


@pytest.fixture(scope="session")
def write_positions() -> Callable[..., Path]:
    """Writer of a pyramid that encodes positions: (path, width, height, factors, mpp=...)."""

    def write(path: Path, *, width: int, height: int, factors: tuple[int, ...], mpp: float, **options) -> Path:
        return write_levels(path, [position_level(width, height, factor) for factor in factors], mpp=mpp, **options)

    return write


@pytest.fixture(scope="session")
def stained() -> Callable[..., np.ndarray]:
    """Painter of glass with a rectangle of textured pink: (height, width, seed=0, box=(top, bottom, left, right))."""

    def paint(height: int, width: int, *, seed: int = 0, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        rng = np.random.default_rng(seed)
        image = np.full((height, width, 3), 240, np.uint8) - rng.integers(0, 4, (height, width, 1), dtype=np.uint8)
        if box is not None:
            top, bottom, left, right = box
            grain = rng.integers(-40, 40, (bottom - top, right - left, 1))
            image[top:bottom, left:right] = np.clip(np.array([200, 110, 165]) + grain, 0, 255)
        return image

    return paint


@pytest.fixture(scope="session")
def tiles_of() -> Callable[..., np.ndarray]:
    """All that is done to a slide: opened, tissue found, tiles cut, every tile read (path, settings)."""
    usual = SlideSetSettings(labels="l.csv", mpp_um_per_px=MPP, tile_px=64, min_tissue=0.5)

    def read(path: Path, settings: SlideSetSettings = usual) -> np.ndarray:
        with open_slide(path, mpp_um_per_px=settings.slide_mpp_um_per_px) as slide:
            grid = cut_tiles(slide, find_tissue(slide, settings.tissue), settings)
            return np.stack(list(iter_tiles(slide, grid)))

    return read


@pytest.fixture
def good(tmp_path: Path, write_pyramid: Callable[..., Path], stained: Callable[..., np.ndarray]) -> Path:
    """A slide of three levels at 4 um per px, 36 tiles of 64 px."""
    image = stained(512, 512, box=(64, 448, 64, 448))
    return write_pyramid(tmp_path / "good.tif", [image, image[::2, ::2], image[::4, ::4]], mpp=MPP)
