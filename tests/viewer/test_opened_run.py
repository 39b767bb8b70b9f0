"""A run under view: what one request may not do to the others."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hage_transfer.slides.slide import Slide
from hage_transfer.viewer import deep_zoom, opened_run
from hage_transfer.viewer.contents import Contents, ListedSlide
from hage_transfer.viewer.opened_run import OpenedRun


@pytest.fixture
def opened(tmp_path, make_slide):
    """A flat slide and a pyramid, read by one reader."""
    flat = make_slide(tmp_path / "flat.tif", levels=False)
    pyramid = make_slide(tmp_path / "pyramid.tif")
    slides = {path.stem: ListedSlide(name=path.stem, path=path) for path in (flat, pyramid)}
    run = OpenedRun(lambda: Contents("run", "tissue", {}, ("slides",), slides), readers=1)
    yield run
    run.close()


def test_tiles_do_not_wait_while_the_overview_of_a_slide_without_a_pyramid_is_made(opened, monkeypatch, tmp_path):
    monkeypatch.setenv("HAGE_CACHE", str(tmp_path))  # another test may have left this slide's overview
    monkeypatch.setattr(deep_zoom, "OVERVIEW_PX", 128)
    begun, go_on, times, really = threading.Event(), threading.Event(), [], Slide.thumbnail

    def slowly(slide, **options):
        times.append(slide.name)
        begun.set()
        assert go_on.wait(20)
        return really(slide, **options)

    monkeypatch.setattr(Slide, "thumbnail", slowly)
    flat, pyramid = (opened.contents.slides[name] for name in ("flat", "pyramid"))
    with ThreadPoolExecutor(4) as threads:
        coarse = [threads.submit(opened.tile, flat, level=level, column=0, row=0) for level in (5, 6, 7)]
        try:
            assert begun.wait(20)
            assert threads.submit(opened.tile, pyramid, level=11, column=0, row=0).result(10)
            assert opened.tile(flat, level=11, column=0, row=0)
        finally:
            go_on.set()
        assert all(one.result(20) for one in coarse)
    assert times == ["flat"]


def test_a_thumbnail_is_left_out_where_a_large_slide_would_be_read_for_it(opened, monkeypatch, tmp_path):
    monkeypatch.setenv("HAGE_CACHE", str(tmp_path))
    monkeypatch.setattr(deep_zoom, "OVERVIEW_PX", 800)
    monkeypatch.setattr(opened_run, "_READ_IN_PASSING_PX", 10**6)
    flat, pyramid = (opened.contents.slides[name] for name in ("flat", "pyramid"))
    assert opened.thumbnail(flat) is None
    assert opened.thumbnail(pyramid)
    opened.tile(flat, level=8, column=0, row=0)  # the slide was looked at: now its overview is there
    assert opened.thumbnail(flat)
