import numpy as np
import pytest

from hage_transfer.slides.slide import Slide
from hage_transfer.viewer import deep_zoom
from hage_transfer.viewer.deep_zoom import DeepZoom
from hage_transfer.viewer.overview_pyramid import OverviewPyramid
from hage_transfer.viewer.slide_files import seen_from
from hage_transfer.viewer.slide_pool import SlidePool

ZOOM = DeepZoom(2001, 1400)
FINEST = ZOOM.n_levels - 2  # 1001 x 700 px


@pytest.fixture
def make():
    def picture():
        picture.times += 1
        return np.full((700, 1001, 3), 200, dtype=np.uint8)

    picture.times = 0
    return picture


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "overviews"


def test_levels_have_the_deep_zooms_sizes_and_are_made_once_for_each_state_of_the_file(tmp_path, cache, make):
    for stamp in ("one", "one", "two"):
        pyramid = OverviewPyramid(tmp_path / "slide.tif", stamp, ZOOM, FINEST, make)
        for level in range(FINEST + 1):
            found = pyramid.level(level)
            assert found.shape[1::-1] == ZOOM.size(level)
            assert abs(int(found.mean()) - 200) <= 1
    assert make.times == 2


def test_a_level_that_is_damaged_is_made_of_the_finer_one_and_the_finest_of_the_slide(tmp_path, cache, make):
    OverviewPyramid(tmp_path / "slide.tif", "one", ZOOM, FINEST, make).level(0)
    for level, times in ((FINEST - 1, 1), (FINEST, 2)):
        next(cache.glob(f"*/{level}.jpg")).write_bytes(b"torn")
        OverviewPyramid(tmp_path / "slide.tif", "one", ZOOM, FINEST, make).level(level)
        assert make.times == times


def test_a_cache_that_cannot_be_written_costs_no_picture(tmp_path, monkeypatch, make):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HAGE_CACHE", str(tmp_path / "file"))
    pyramid = OverviewPyramid(tmp_path / "s.tif", "one", ZOOM, FINEST, make)
    assert pyramid.level(3).shape[1::-1] == ZOOM.size(3)
    assert not OverviewPyramid(tmp_path / "s.tif", "one", ZOOM, FINEST, make).has(3)


def test_a_second_opening_reads_no_pixel_of_a_slide_without_levels(tmp_path, cache, monkeypatch, make_slide):
    monkeypatch.setattr(deep_zoom, "OVERVIEW_PX", 800)
    path = make_slide(tmp_path / "flat.tif", levels=False)

    def coarse_tiles():
        pool = SlidePool()
        with pool.borrow(path) as one:
            tiles = [one.pixels(level, one.zoom.box(level, 0, 0)) for level in range(one.zoom.n_levels - 1)]
        pool.close()
        return tiles

    first = coarse_tiles()

    def refused(*_, **__):
        raise AssertionError("the slide was read")

    for name in ("read_region", "read_box", "thumbnail"):
        monkeypatch.setattr(Slide, name, refused)
    for one, other in zip(first, coarse_tiles(), strict=True):
        assert one.shape == other.shape
        assert np.abs(one.astype(int) - other).mean() < 20  # a JPEG of noise


def test_relative_paths_of_a_run_hold_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "demo" / "data" / "slides").mkdir(parents=True)
    (tmp_path / "demo" / "mil").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = seen_from(tmp_path / "demo" / "mil", type(tmp_path)("demo/data/slides"))
    assert found == tmp_path / "demo" / "data" / "slides"
    assert seen_from(tmp_path / "demo" / "mil", type(tmp_path)("nowhere")) == type(tmp_path)("nowhere")
