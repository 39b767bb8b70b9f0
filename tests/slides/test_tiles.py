import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.config import SlideSetSettings
from hage_transfer.errors import DataError
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.tiles import cut_tiles, grid_coords, iter_tiles
from hage_transfer.slides.tissue import TissueMask

FULL = TissueMask(np.ones((32, 32), bool), 32, 32)


def tile_tissue(slide, tissue, **keys):
    return cut_tiles(slide, tissue, SlideSetSettings(labels="l.csv", **keys))


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory, write_positions):
    path = tmp_path_factory.mktemp("slides") / "s.tif"
    return write_positions(path, width=1024, height=1024, factors=(1, 4), mpp=0.25)


@settings(deadline=None)  # the machine may be shared
@given(
    width=st.integers(1, 5000), height=st.integers(1, 5000), tile=st.integers(1, 600),
    step=st.integers(1, 600), scale=st.floats(0.3, 8),
)  # fmt: skip
def test_grid_coords_stay_inside_and_miss_no_place(width, height, tile, step, scale):
    size, step_level0 = tile * scale, max(step * scale, 20)
    coords = grid_coords(width, height, size_level0_px=size, step_level0_px=step_level0)
    assert (coords >= 0).all()
    assert (coords + size <= np.array([width, height]) + 1e-6).all()
    for axis, length in enumerate((width, height)):
        if len(coords):
            assert coords[:, axis].max() + size + step_level0 > length - 1


@settings(deadline=None)  # the machine may be shared
@given(step=st.floats(1.5, 3000), count=st.integers(2, 2000))
def test_grid_coords_do_not_drift(step, count):
    length = int(np.ceil(step * count)) + 2
    starts = grid_coords(length, int(np.ceil(step)), size_level0_px=step, step_level0_px=step)[:, 0]
    assert np.abs(starts - np.arange(len(starts)) * step).max() <= 0.5 + 1e-6


def test_tile_tissue_keeps_tiles_by_their_share(slide_path):
    mask = np.zeros((32, 32), bool)
    mask[:8, :6] = True  # 192 x 256 px of level 0
    with open_slide(slide_path) as slide:
        kept = [
            tile_tissue(
                slide, TissueMask(mask, 32, 32), tile_px=64, stride_px=64, mpp_um_per_px=0.5, min_tissue=least
            ).coords.tolist()
            for least in (0.0, 0.5, 0.6)
        ]
    assert kept[0] == kept[1] == [[0, 0], [128, 0], [0, 128], [128, 128]]
    assert kept[2] == [[0, 0], [0, 128]]


def test_tile_tissue_of_an_empty_slide_is_an_error(slide_path):
    empty = TissueMask(np.zeros((32, 32), bool), 32, 32)
    with open_slide(slide_path) as slide, pytest.raises(DataError, match=r"none of 256 tiles of 64 px at 0\.25 um/px"):
        tile_tissue(slide, empty, tile_px=64, stride_px=64, mpp_um_per_px=0.25, min_tissue=0.25)


def test_tiles_overlap_where_the_stride_is_shorter(slide_path):
    with open_slide(slide_path) as slide:
        grid = tile_tissue(slide, FULL, tile_px=64, stride_px=32, mpp_um_per_px=0.5, min_tissue=0.5)
    assert np.unique(grid.coords[:, 0]).tolist() == list(range(0, 1024 - 127, 64))


def test_level0_tiles_are_the_slide_s_own_pixels(slide_path):
    settings = SlideSetSettings(labels="l.csv", tile_level0_px=100, stride_px=90)
    with open_slide(slide_path) as slide:
        grid = cut_tiles(slide, FULL, settings)
        tiles = list(iter_tiles(slide, grid))
        (x, y), tile = grid.coords[25], tiles[25]
        np.testing.assert_array_equal(tile, slide.read_region(x, y, level=0, width_px=100, height_px=100))
    assert grid.coords[1].tolist() == [90, 0]
    assert grid.size_level0_px == grid.tile_px == 100


def test_level0_tiles_need_no_resolution(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "s.tif", [stained(256, 256)], mpp=None)
    settings = SlideSetSettings(labels="l.csv", tile_level0_px=64)
    with open_slide(path, needs_resolution=False) as slide:
        assert len(cut_tiles(slide, FULL, settings)) == 16
        with pytest.raises(DataError, match=r"records no resolution.*mpp_um_per_px="):
            tile_tissue(slide, FULL, tile_px=64, stride_px=64, mpp_um_per_px=0.5, min_tissue=0.5)


def test_tiles_of_unequal_axes_are_square_in_micrometres(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512)], mpp=(0.25, 0.5))
    with open_slide(path) as slide:
        grid = tile_tissue(slide, FULL, tile_px=50, stride_px=50, mpp_um_per_px=0.5, min_tissue=0.5)
        tile = next(iter_tiles(slide, grid))
    assert grid.sizes_level0_px == pytest.approx((100, 50), rel=1e-6)
    assert tile.shape == (50, 50, 3)


@settings(deadline=None)  # the machine may be shared
@given(seed=st.integers(0, 1000), scale=st.floats(1, 9))
def test_tissue_share_is_exact_at_fractions_of_a_mask_pixel(seed, scale):
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 30)) < 0.5
    coords = rng.integers(0, int(10 * scale), (5, 2))
    found = TissueMask(mask, scale, scale).share(coords, size_level0_px=8 * scale)
    x, y = np.arange(30), np.arange(20)
    for (left, top), share in zip(coords / scale, found, strict=True):
        across = np.clip(np.minimum(x + 1, left + 8) - np.maximum(x, left), 0, 1)
        down = np.clip(np.minimum(y + 1, top + 8) - np.maximum(y, top), 0, 1)
        assert share == pytest.approx(down @ mask @ across / 64)
