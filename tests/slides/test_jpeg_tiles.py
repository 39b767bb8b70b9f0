import errno
import io
from contextlib import ExitStack, closing

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from hage_transfer.errors import DataError
from hage_transfer.slides.jpeg_tiles import JpegTiles, jpeg_levels
from hage_transfer.slides.reader import open_slide

TILE_PX = 64


APERIO = "Aperio Image Library v1.0"


def write_jpeg(path, levels, *, colour="ycbcr", said=None, spoil=lambda level, index, data: data, description=APERIO):
    """A pyramid of JPEG tiles, each as Pillow writes it; ``said``: what the file says of their colours."""
    kind = {"subsampling": "4:2:0"} if colour == "ycbcr" else {"keep_rgb": True}
    page = {"compression": "jpeg", "compressionargs": {"outcolorspace": said or colour}, "subsampling": (1, 1)}

    def tiles(number):
        image = levels[number]
        high, wide = (-(-side // TILE_PX) * TILE_PX for side in image.shape[:2])
        padded = np.pad(image, ((0, high - image.shape[0]), (0, wide - image.shape[1]), (0, 0)), mode="edge")
        for index, (top, left) in enumerate((t, x) for t in range(0, high, TILE_PX) for x in range(0, wide, TILE_PX)):
            buffer = io.BytesIO()
            Image.fromarray(padded[top : top + TILE_PX, left : left + TILE_PX]).save(
                buffer, format="JPEG", quality=90, **kind
            )
            yield spoil(number, index, buffer.getvalue())

    with pytest.MonkeyPatch.context() as patch, tifffile.TiffWriter(path) as tiff:
        # tifffile asks for its encoder even where the tiles come encoded
        patch.setitem(tifffile.TIFF.COMPRESSORS._codecs, 7, None)
        for number, level in enumerate(levels):
            tiff.write(
                tiles(number), shape=level.shape, dtype=np.uint8, photometric=said or colour,
                tile=(TILE_PX, TILE_PX), subfiletype=int(number > 0), metadata=None, resolution=(2e4, 2e4),
                resolutionunit="CENTIMETER", description=description, **page,
            )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(3)
    small = rng.integers(0, 255, (20, 26, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((400, 304), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("colour", ["ycbcr", "rgb"])
def test_jpeg_tiles_are_openslides_to_the_bit(tmp_path, picture, colour):
    path = write_jpeg(tmp_path / "a.tif", [picture, picture[::2, ::2]], colour=colour)
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        reference = stack.enter_context(openslide.OpenSlide(str(path)))
        tiff = stack.enter_context(tifffile.TiffFile(path))
        levels = jpeg_levels(tiff, reference.level_dimensions)
        tiles = stack.enter_context(closing(JpegTiles(path, levels)))
        assert sorted(levels) == [0, 1]
        for _ in range(30):
            level = int(rng.integers(2))
            width, height = reference.level_dimensions[level]
            x, y = int(rng.integers(width)), int(rng.integers(height))
            w, h = int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1))
            wanted = np.asarray(reference.read_region((x * 2**level, y * 2**level), level, (w, h)))[..., :3]
            np.testing.assert_array_equal(tiles.read(level, x, y, w, h), wanted)


def test_slide_of_jpeg_tiles_is_read_without_openslide(tmp_path, picture, monkeypatch):
    path = write_jpeg(tmp_path / "a.tif", [picture])
    asked = []
    really = openslide.OpenSlide.read_region
    monkeypatch.setattr(
        openslide.OpenSlide, "read_region", lambda slide, *place: asked.append(place) or really(slide, *place)
    )
    with open_slide(path) as slide:
        for x in range(0, 300, 20):
            slide.read_region(x, 0, level=0, width_px=64, height_px=64)
    assert len(asked) == 1  # the tile that both are compared at


def test_slide_whose_colours_openslide_takes_otherwise_is_left_to_it(tmp_path, picture):
    path = write_jpeg(tmp_path / "a.tif", [picture], colour="rgb", said="ycbcr")
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as reference:
        wanted = np.asarray(reference.read_region((10, 20), 0, (90, 80)))[..., :3]
        np.testing.assert_array_equal(slide.read_region(10, 20, level=0, width_px=90, height_px=80), wanted)


def test_missing_jpeg_tile_is_left_to_openslide(tmp_path, picture):
    path = write_jpeg(tmp_path / "a.tif", [picture], spoil=lambda level, index, data: b"" if index == 0 else data)
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as reference:
        wanted = np.asarray(reference.read_region((0, 0), 0, (128, 64)))
        found = slide.read_region(0, 0, level=0, width_px=128, height_px=64)
    np.testing.assert_array_equal(found[:, :TILE_PX], 255)
    np.testing.assert_array_equal(found[:, TILE_PX:], wanted[:, TILE_PX:, :3])


def test_jpeg_tile_that_the_disk_does_not_give_is_left_to_openslide(tmp_path, picture):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise OSError(errno.EIO, "Input/output error")

    path = write_jpeg(tmp_path / "s.tif", [picture])
    levels = openslide.OpenSlide(str(path)).level_dimensions
    with tifffile.TiffFile(path) as tiff, closing(JpegTiles(path, jpeg_levels(tiff, levels))) as tiles:
        tiles._file.close()
        tiles._file = Failing()
        assert tiles.read(0, 0, 0, 64, 64) is None


@pytest.mark.parametrize("description", [APERIO, ""])
@pytest.mark.parametrize(
    "spoilt",
    [
        lambda data: data[:40],
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff\x11" + data[2:],
        lambda data: bytes(len(data)),
        lambda data: data[:700] + b"\xff" * 50 + b"\xb3\x01" + data[752:],
        lambda data: data[: data.index(b"\xff\xc0") + 5] + b"\xff\xff\xff\xff" + data[data.index(b"\xff\xc0") + 9 :],
    ],
)
def test_damaged_jpeg_tile_is_an_error_where_it_is_read(tmp_path, picture, description, spoilt):
    def spoil(level, index, data):
        return spoilt(data) if index == 8 else data

    path = write_jpeg(tmp_path / "a.tif", [picture], spoil=spoil, description=description)
    with open_slide(path) as slide:
        slide.read_region(0, 0, level=0, width_px=64, height_px=64)
        with pytest.raises(DataError, match=r"a\.tif: damaged (at|in tile or strip 8)"):
            slide.read_region(64, 64, level=0, width_px=64, height_px=64)


def test_generic_jpeg_tiles_are_openslides_to_the_bit(tmp_path, picture):
    path = write_jpeg(tmp_path / "a.tif", [picture, picture[::2, ::2]], description="")
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as reference:
        assert slide.level_downsamples == (1.0, 2.0)
        wanted = np.asarray(reference.read_region((10, 20), 0, (300, 200)))[..., :3]
        np.testing.assert_array_equal(slide.read_region(10, 20, level=0, width_px=300, height_px=200), wanted)
