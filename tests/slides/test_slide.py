import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.slides.levels import usable_levels
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.tiles import TileGrid, grid_coords, iter_tiles

WIDTH, HEIGHT = 1024, 1008
ODD_WIDTH, ODD_HEIGHT = 1001, 1003
PERIOD = 64


@pytest.fixture(scope="module")
def openslide_pyramid(tmp_path_factory, write_positions):
    path = tmp_path_factory.mktemp("slides") / "tiled.tif"
    return write_positions(path, width=WIDTH, height=HEIGHT, factors=(1, 2, 4, 16), mpp=0.25)


@pytest.fixture(scope="module")
def strips_pyramid(tmp_path_factory, write_positions):
    path = tmp_path_factory.mktemp("slides") / "strips.tif"
    options = {"tile": None, "rowsperstrip": 37, "compression": "zlib"}
    return write_positions(path, width=ODD_WIDTH, height=ODD_HEIGHT, factors=(1, 2, 4, 16), mpp=0.25, **options)


@pytest.fixture(scope="module")
def odd_openslide_pyramid(tmp_path_factory, write_positions):
    path = tmp_path_factory.mktemp("slides") / "odd.tif"
    return write_positions(path, width=ODD_WIDTH, height=ODD_HEIGHT, factors=(1, 2, 4, 16), mpp=0.25)


@pytest.fixture(params=["openslide_pyramid", "strips_pyramid"])
def pyramid(request):
    return request.getfixturevalue(request.param)


def test_slide_reads_size_levels_and_resolution(pyramid):
    with open_slide(pyramid) as slide:
        assert (slide.width_px, slide.height_px) in {(WIDTH, HEIGHT), (ODD_WIDTH, ODD_HEIGHT)}
        assert slide.level_downsamples == (1, 2, 4, 16)
        assert slide.mpp_um_per_px == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("level", range(4))
def test_read_region_gives_exactly_the_pixels_of_each_level(pyramid, level):
    with open_slide(pyramid) as slide:
        size = slide.levels[level]
        factor = round(size.downsample)
        for x, y in ((0, 0), (3, 5), (size.width_px - 20, size.height_px - 21), (size.width_px // 2, 7)):
            region = slide.read_region(x, y, level=level, width_px=20, height_px=21)
            wanted_x = np.round(((x + np.arange(20) + 0.5) * factor % PERIOD) * 4 - 0.25)
            wanted_y = np.round(((y + np.arange(21) + 0.5) * factor % PERIOD) * 4 - 0.25)
            np.testing.assert_array_equal(region[0, :, 0], wanted_x)
            np.testing.assert_array_equal(region[:, 0, 1], wanted_y)


def test_read_region_is_white_outside_the_slide(pyramid):
    with open_slide(pyramid) as slide:
        region = slide.read_region(-5, slide.height_px - 4, level=0, width_px=10, height_px=10)
    assert (region[:, :5] == 255).all()
    assert (region[4:] == 255).all()
    assert region[0, 5, 0] == 2  # level 0's first column


@pytest.mark.parametrize(
    ("mpp", "level"),
    [
        (0.1, 0),
        (0.25, 0),
        (0.2527, 0),
        (0.4, 0),
        (0.499, 0),
        (0.5, 1),
        (0.9, 1),
        (1.0, 2),
        (3.0, 2),
        (4.0, 3),
        (9.0, 3),
    ],
)
def test_level_for_is_the_nearest_finer_level(pyramid, mpp, level):
    with open_slide(pyramid) as slide:
        assert slide.level_for(mpp / 0.25) == level


def assert_shows(tile, x, y, size_level0, tolerance):
    """Every pixel of a tile, but where the code wraps around, says its own place."""
    out = tile.shape[0]
    scale = size_level0 / out
    centres = (np.arange(out) + 0.5) * scale
    margin = 3 * max(scale, 16 if scale >= 16 else scale) + 1
    for axis, (start, line) in enumerate(((x, tile[out // 2, :, 0]), (y, tile[:, out // 2, 1]))):
        phase = (start + centres) % PERIOD
        inner = (phase > margin) & (phase < PERIOD - margin)
        assert inner.any()
        error = line[inner].astype(float) / 4 - phase[inner]
        assert np.abs(error).max() <= tolerance, ("xy"[axis], np.abs(error).max())


@pytest.mark.parametrize("mpp", [0.25, 0.3, 0.4, 0.5, 0.65, 1.0, 1.3])
def test_tiles_show_the_place_that_their_coordinates_name(pyramid, mpp):
    size = 64 * mpp / 0.25
    with open_slide(pyramid) as slide:
        coords = grid_coords(slide.width_px, slide.height_px, size_level0_px=size, step_level0_px=size)
        tiles = list(iter_tiles(slide, TileGrid(coords, (size, size), 64)))
    assert len(tiles) == len(coords) > 4
    for (x, y), tile in zip(coords, tiles, strict=True):
        assert_shows(tile, x, y, size, tolerance=0.5)


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.65, 1.0, 1.3])
def test_openslide_tiles_of_odd_sides_are_right_to_the_pixel(odd_openslide_pyramid, mpp):
    """OpenSlide takes places in whole level-0 pixels and halves 1001 px to 500: half a level-0 pixel is its limit."""
    size = 64 * mpp / 0.25
    with open_slide(odd_openslide_pyramid) as slide:
        coords = grid_coords(ODD_WIDTH, ODD_HEIGHT, size_level0_px=size, step_level0_px=size)
        for x, y in coords:
            assert_shows(slide.read_square(x, y, size_level0_px=size, out_px=64), x, y, size, tolerance=0.8)


def test_tile_blocks_are_those_of_its_coordinates(pyramid):
    """The coarse code: no tile is off by a whole period."""
    with open_slide(pyramid) as slide:
        for x, y in ((64, 128), (640, 832)):
            tile = slide.read_square(x, y, size_level0_px=64, out_px=32)
            assert tile[16, 16, 2] == x // 64 * 16 + y // 64


@pytest.mark.parametrize("recorded", [0.2527, 0.2498, 0.121])
def test_half_a_micrometre_is_half_a_micrometre_on_any_slide(tmp_path, write_positions, recorded):
    path = write_positions(tmp_path / "s.tif", width=1024, height=1024, factors=(1, 2, 4), mpp=recorded)
    with open_slide(path) as slide:
        size = 100 * 0.5 / slide.mpp_um_per_px
        tile = slide.read_square(320, 384, size_level0_px=size, out_px=100)
        assert size * slide.mpp_um_per_px == pytest.approx(50.0)
    assert_shows(tile, 320, 384, size, tolerance=0.5)


def test_neighbouring_tiles_join_without_a_seam(pyramid):
    with open_slide(pyramid) as slide:
        both = slide.read_box(130, 130, width_level0_px=60, height_level0_px=30, out_width_px=40, out_height_px=20)
        left = slide.read_square(130, 130, size_level0_px=30, out_px=20)
        right = slide.read_square(160, 130, size_level0_px=30, out_px=20)
    np.testing.assert_array_equal(np.concatenate([left, right], axis=1), both)


def test_thumbnail_in_blocks_equals_thumbnail_at_once(pyramid, monkeypatch):
    found = []
    with open_slide(pyramid) as slide:
        for block_px in (2048, 100, 150):
            monkeypatch.setattr("hage_transfer.slides.slide._BLOCK_PX", block_px)
            found.append(slide.thumbnail(downsample=3.0, max_px=1000).astype(int))
        assert found[0].shape == (round(slide.height_px / 3), round(slide.width_px / 3), 3)
    at_once, *in_blocks = found
    assert np.abs(in_blocks[0] - in_blocks[1]).max() <= 1  # a box's edge is a float: a rounding apart
    # at once pixels are weighted by their area, in blocks whole ones count: places agree to a level-0 px, 4 a px
    assert np.median(np.abs(in_blocks[0] - at_once)[..., :2]) <= 3


@settings(deadline=None)  # the machine may be shared
@given(width=st.integers(1, 300_000), height=st.integers(1, 300_000), factor=st.sampled_from([2, 3, 4, 8, 16, 32, 64]))
def test_usable_levels_find_the_exact_factor(width, height, factor):
    width, height = width + 64 * 64, height + 64 * 64
    for sides in ((width // factor, height // factor), (-(-width // factor), -(-height // factor))):
        levels = usable_levels([(width, height), sides], name="s")
        assert (levels[1].downsample_x, levels[1].downsample_y) == (factor, factor)


@settings(deadline=None)  # the machine may be shared
@given(
    mpp=st.floats(0.05, 20), asked=st.floats(0.05, 20), tile=st.integers(16, 1024), steps=st.integers(0, 100_000),
)  # fmt: skip
def test_micrometres_and_pixels_go_back_and_forth(mpp, asked, tile, steps):
    size_level0 = tile * asked / mpp
    assert size_level0 * mpp == pytest.approx(tile * asked)
    start = np.floor(steps * size_level0 + 0.5)
    assert abs(start * mpp - steps * tile * asked) <= 0.5 * mpp + 1e-6 * max(1.0, steps * tile * asked)
