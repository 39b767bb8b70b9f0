import numpy as np
import pytest
from PIL import Image

from hage_transfer.slides.outline import draw_outline, write_picture
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.survey import level0_pieces
from hage_transfer.slides.tissue import TissueMask, find_tissue

GREEN = np.array([0, 150, 90])


def test_outline_of_a_large_slide_is_drawn_on_what_the_mask_was_found_in(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "a.tif", [stained(900, 1000, box=(200, 600, 300, 700))], mpp=8.0)
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        before = tissue.thumbnail.copy()
        picture = draw_outline(slide, tissue, level0_pieces(tissue), None)
    assert picture.shape == (900, 1000, 3)
    np.testing.assert_array_equal(tissue.thumbnail, before)  # not drawn on itself
    rows, columns = np.nonzero(np.abs(picture.astype(int) - GREEN).sum(axis=2) == 0)
    ends = rows.min(), rows.max(), columns.min(), columns.max()
    np.testing.assert_allclose(ends, (200, 600, 300, 700), atol=8)
    inside = np.s_[250:550, 350:650]
    np.testing.assert_array_equal(picture[inside], before[inside])


def test_outline_of_a_small_slide_is_drawn_on_more_pixels_than_its_mask_has(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "a.tif", [stained(900, 1000, box=(200, 600, 300, 700))], mpp=0.5)
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        assert max(tissue.mask.shape) < 100
        assert draw_outline(slide, tissue, level0_pieces(tissue), None).shape == (461, 512, 3)


def test_outline_of_a_small_slide_is_drawn_on_a_coarse_level_without_decoding_the_finest(
    tmp_path, write_pyramid, stained, monkeypatch
):
    levels = [stained(2048 // k, 1600 // k, box=(400 // k, 1200 // k, 400 // k, 1200 // k)) for k in (1, 2, 4)]
    path = write_pyramid(tmp_path / "a.tif", levels, mpp=0.5)
    with open_slide(path) as slide:
        tissue, read, seen = find_tissue(slide), slide.read_region, []
        monkeypatch.setattr(
            slide, "read_region", lambda *at, level, **size: seen.append(level) or read(*at, level=level, **size)
        )
        picture = draw_outline(slide, tissue, level0_pieces(tissue), None)
    assert picture.shape == (512, 400, 3)
    assert seen == [2]
    rows, columns = np.nonzero(np.abs(picture.astype(int) - GREEN).sum(axis=2) == 0)
    np.testing.assert_allclose((rows.min(), rows.max(), columns.min(), columns.max()), (100, 300, 100, 300), atol=8)


def test_outline_of_a_huge_slide_is_reduced(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "a.tif", [stained(200, 240)], mpp=8.0)
    huge = TissueMask(np.zeros((2000, 2400), bool), 0.1, 0.1, thumbnail=np.full((2000, 2400, 3), 240, np.uint8))
    with open_slide(path) as slide:
        assert draw_outline(slide, huge, [], None).shape == (1333, 1600, 3)


@pytest.mark.parametrize("shape", [(30, 40, 3), (1, 1, 3), (1, 7, 3), (300, 1, 3)])
def test_picture_is_read_back_as_it_was(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_picture(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
