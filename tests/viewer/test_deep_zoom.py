from contextlib import ExitStack

import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image

from hage_transfer.slides.reader import open_slide
from hage_transfer.viewer import deep_zoom
from hage_transfer.viewer.deep_zoom import (
    OVERLAP_PX,
    TILE_PX,
    DeepZoom,
    needs_overview,
    overview_level,
    read_overview,
    read_tile,
)

sides = st.integers(1, 200_000)


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(open_slide(path, needs_resolution=False))


def test_deep_zoom_has_the_levels_and_tiles_of_openslides_generator(tmp_path, make_slide):
    path = make_slide(tmp_path / "s.tif", width=1531, height=1033)
    with openslide.OpenSlide(path) as slide:
        theirs = DeepZoomGenerator(slide, tile_size=TILE_PX, overlap=OVERLAP_PX)
        ours = DeepZoom(1531, 1033)
        assert ours.n_levels == theirs.level_count
        for level in range(ours.n_levels):
            assert ours.size(level) == theirs.level_dimensions[level]
            assert ours.tiles(level) == theirs.level_tiles[level]
            columns, rows = ours.tiles(level)
            for column in range(columns):
                for row in range(rows):
                    box = ours.box(level, column, row)
                    assert box is not None
                    assert box[2:] == theirs.get_tile_dimensions(level, (column, row))


@given(sides, sides, st.integers(0, 17))
def test_tiles_cover_their_level_without_a_gap(width, height, level):
    zoom = DeepZoom(width, height)
    if level >= zoom.n_levels:
        assert zoom.box(level, 0, 0) is None
        return
    columns, rows = zoom.tiles(level)
    first, last = zoom.box(level, 0, 0), zoom.box(level, columns - 1, rows - 1)
    assert first[:2] == (0, 0)
    assert (last[0] + last[2], last[1] + last[3]) == zoom.size(level)
    assert zoom.box(level, columns, 0) is None
    assert zoom.box(level, 0, rows) is None
    assert zoom.box(level, -1, 0) is None


def test_last_level_is_the_slides_own_pixels(tmp_path, make_slide, opened):
    slide = opened(make_slide(tmp_path / "s.tif"))
    zoom = DeepZoom(slide.width_px, slide.height_px)
    level = zoom.n_levels - 1
    for column, row in ((0, 0), (1, 1), (2, 2)):
        left, top, width, height = zoom.box(level, column, row)
        tile = read_tile(slide, zoom, (left, top, width, height), level=level)
        np.testing.assert_array_equal(tile, slide.read_region(left, top, level=0, width_px=width, height_px=height))


@pytest.mark.parametrize("width", [1500, 1501])
def test_coarse_tiles_are_the_slide_reduced(tmp_path, make_slide, opened, width):
    slide = opened(make_slide(tmp_path / "s.tif", width=width))
    zoom = DeepZoom(width, slide.height_px)
    level = zoom.n_levels - 3
    tile = read_tile(slide, zoom, zoom.box(level, 0, 0), level=level)
    whole = slide.read_region(0, 0, level=0, width_px=width, height_px=slide.height_px)
    expected = np.asarray(Image.fromarray(whole).resize(tile.shape[1::-1], Image.Resampling.BOX))
    assert np.abs(tile[..., :2].astype(int) - expected[..., :2]).max() <= 4  # the gradients; noise is in the third


def test_reading_in_quarters_gives_the_same_picture(tmp_path, make_slide, opened, monkeypatch):
    slide = opened(make_slide(tmp_path / "s.tif", levels=False))
    zoom = DeepZoom(slide.width_px, slide.height_px)
    level = zoom.n_levels - 3
    whole = read_tile(slide, zoom, zoom.box(level, 0, 0), level=level)
    monkeypatch.setattr(deep_zoom, "_MAX_READ_PX", 20_000)
    quarters = read_tile(slide, zoom, zoom.box(level, 0, 0), level=level)
    assert quarters.shape == whole.shape
    assert np.abs(quarters.astype(int) - whole)[..., :2].max() <= 4


def test_the_overview_of_a_slide_without_a_pyramid_is_its_coarse_level(tmp_path, make_slide, opened, monkeypatch):
    monkeypatch.setattr(deep_zoom, "OVERVIEW_PX", 128)
    flat = opened(make_slide(tmp_path / "flat.tif", levels=False))
    assert needs_overview(flat, 16)
    assert not needs_overview(flat, 8)  # 12 level-0 px in one of the overview
    zoom = DeepZoom(flat.width_px, flat.height_px)
    level = overview_level(flat, zoom)
    assert level == zoom.n_levels - 5
    overview = read_overview(flat, zoom, level)
    direct = read_tile(flat, zoom, zoom.box(level, 0, 0), level=level)
    assert overview.shape == direct.shape  # the level is one tile
    assert np.abs(overview[2:-2, 2:-2, :2].astype(int) - direct[2:-2, 2:-2, :2]).max() <= 6


def test_a_pyramid_needs_no_overview(tmp_path, make_slide, opened):
    assert not needs_overview(opened(make_slide(tmp_path / "s.tif")), 32)
