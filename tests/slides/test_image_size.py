import pytest
from PIL import Image

from hage_transfer.errors import DataError
from hage_transfer.slides.reader import image_size_px


def test_image_size_is_that_of_the_shown_picture(tmp_path):
    turned = Image.Exif()
    turned[274] = 6
    Image.new("RGB", (7, 5)).save(tmp_path / "he.png", exif=turned)
    assert image_size_px(tmp_path / "he.png") == (5, 7)


def test_image_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.png: no such slide or image"):
        image_size_px(tmp_path / "none.png")


def test_images_beyond_pillows_guard_are_read_and_the_guard_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (30, 20)).save(tmp_path / "he.png")
    assert image_size_px(tmp_path / "he.png") == (30, 20)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_real_slide_is_of_its_size(real_data):
    assert image_size_px(real_data / "slides" / "CMU-1-Small-Region.svs") == (2220, 2967)
