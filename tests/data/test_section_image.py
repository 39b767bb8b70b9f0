import numpy as np
import pytest
from PIL import Image

from hage_transfer.data.section_image import image_size_px, is_pyramid, read_image
from hage_transfer.errors import DataError


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_read_image_is_rgb_of_the_header_size(tmp_path, ending, mode):
    path = tmp_path / f"he.{ending}"
    Image.new(mode, (7, 5), 100 if mode == "L" else (100, 100, 100, 255)[: len(mode)]).save(path)
    assert image_size_px(path) == (7, 5)
    np.testing.assert_array_equal(read_image(path), np.full((5, 7, 3), 100, dtype=np.uint8))


def test_images_beyond_pillows_guard_are_read_and_the_guard_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (30, 20)).save(tmp_path / "he.png")
    assert read_image(tmp_path / "he.png").shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_read_image_refuses_a_truncated_image(tmp_path):
    path = tmp_path / "he.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"he\.png: damaged image"):
        read_image(path)


def test_image_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.png: no such image"):
        image_size_px(tmp_path / "none.png")


def test_real_slide_is_a_pyramid_of_its_size(real_data):
    path = real_data / "slides" / "CMU-1-Small-Region.svs"
    assert is_pyramid(path)
    assert image_size_px(path) == (2220, 2967)
