import threading

import pytest

from hage_transfer.errors import DataError
from hage_transfer.viewer.slide_pool import SlidePool


@pytest.fixture
def slides(tmp_path, make_slide):
    return [make_slide(tmp_path / f"s{number}.tif", width=200, height=150) for number in range(4)]


def test_pool_closes_the_slide_not_borrowed_for_longest(slides):
    pool = SlidePool(max_open=2)
    opened = []
    for path in slides[:3]:
        with pool.borrow(path) as one:
            opened.append(one)
    assert len(pool) == 2
    with pool.borrow(slides[1]) as again:
        assert again is opened[1]
    with pool.borrow(slides[0]) as anew:
        assert anew is not opened[0]
    pool.close()
    assert len(pool) == 0


def test_pool_keeps_what_is_borrowed_open(slides):
    pool = SlidePool(max_open=1)
    with pool.borrow(slides[0]) as first:
        for path in slides[1:]:
            with pool.borrow(path):
                pass
        assert first.slide.read_region(0, 0, level=0, width_px=9, height_px=9).shape == (9, 9, 3)
    assert len(pool) == 1
    pool.close()


def test_pool_opens_a_slide_once_for_many_threads(slides, monkeypatch):
    from hage_transfer.viewer import slide_pool

    times, really = [], slide_pool.open_slide

    def counted(path, **options):
        times.append(path)
        return really(path, **options)

    monkeypatch.setattr(slide_pool, "open_slide", counted)
    pool, barrier = SlidePool(), threading.Barrier(8)

    def borrow():
        barrier.wait()
        with pool.borrow(slides[0]):
            pass

    threads = [threading.Thread(target=borrow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert times == [slides[0]]
    pool.close()


def test_pool_forgets_a_slide_that_cannot_be_opened(tmp_path):
    pool = SlidePool()
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"no slide")
    for _ in range(2):
        with pytest.raises(DataError, match="broken"), pool.borrow(broken):
            pass
    assert len(pool) == 0
