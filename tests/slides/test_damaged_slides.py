"""Files that are no slides, and damaged ones: each is named with its reason and remedy; none takes what it declares."""

import io
import os
import resource
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from hage_transfer.config import SlideSetSettings
from hage_transfer.errors import DataError
from hage_transfer.slides.jpeg_streams import jpeg_fault
from hage_transfer.slides.reader import open_picture, open_slide

MPP = 4.0
SETTINGS = SlideSetSettings(labels="l.csv", mpp_um_per_px=MPP, tile_px=64, min_tissue=0.5)
GIVEN = SETTINGS.model_copy(update={"slide_mpp_um_per_px": MPP})
BOX = (64, 448, 64, 448)


@pytest.mark.parametrize("name", ["s.svs", "s.tif", "s.ndpi", "s.png", "s.mrxs"])
def test_zero_bytes_are_named(tmp_path, name, tiles_of):
    path = tmp_path / name
    path.touch()
    with pytest.raises(DataError, match=rf"{name}: the file is empty \(0 bytes\); fetch it again"):
        tiles_of(path)


@pytest.mark.parametrize("name", ["s.tif", "s.svs", "s.jpg"])
def test_text_file_under_a_slide_s_name_is_named(tmp_path, name, tiles_of):
    path = tmp_path / name
    path.write_text("this is not a slide\n" * 50)
    with pytest.raises(DataError, match=rf"{name}: neither a slide nor an image that can be read"):
        tiles_of(path)


def test_wrong_ending_works_where_the_content_is_a_slide(good, tiles_of):
    assert len(tiles_of(good.rename(good.with_name("good.jpg")))) == 36


def test_missing_file_is_named(tmp_path, tiles_of):
    with pytest.raises(DataError, match=r"s\.svs: no such slide"):
        tiles_of(tmp_path / "s.svs")


def test_folder_of_a_slide_s_name_is_named(tmp_path, tiles_of):
    (tmp_path / "s.svs").mkdir()
    with pytest.raises(DataError, match=r"s\.svs: a folder, not a slide"):
        tiles_of(tmp_path / "s.svs")


def test_link_to_nowhere_is_named(tmp_path, tiles_of):
    (tmp_path / "s.svs").symlink_to(tmp_path / "gone.svs")
    with pytest.raises(DataError, match=r"s\.svs: a link to .*gone\.svs, which is not there"):
        tiles_of(tmp_path / "s.svs")


def test_pipe_is_named_and_not_waited_for(tmp_path, tiles_of):
    os.mkfifo(tmp_path / "s.svs")
    with pytest.raises(DataError, match=r"s\.svs: not a regular file"):
        tiles_of(tmp_path / "s.svs")


def test_file_that_may_not_be_read_is_named(good, monkeypatch, tiles_of):
    """Simulated, since a test that runs as root may read everything."""

    def refuse(self, *arguments, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"good\.tif: cannot be read \(Permission denied\); see its permissions"):
        tiles_of(good)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncated_slide_is_named(good, share, tiles_of):
    content = good.read_bytes()
    good.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"good\.tif: (truncated|damaged|OpenSlide cannot).*fetch it again"):
        tiles_of(good)


@pytest.mark.parametrize("real", ["CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_truncated_real_slide_is_named(tmp_path, real_data, real, tiles_of):
    content = (real_data / "slides" / real).read_bytes()
    for share in (0.001, 0.4, 0.95):
        path = tmp_path / "cut.svs"
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=r"cut\.svs: "):
            tiles_of(path, GIVEN.model_copy(update={"mpp_um_per_px": 0.5, "slide_mpp_um_per_px": 0.5}))


def test_jpeg_tile_damaged_mid_file_is_named(tmp_path, real_data, tiles_of):
    path = tmp_path / "hit.svs"
    content = bytearray((real_data / "slides" / "CMU-1-Small-Region.svs").read_bytes())
    with tifffile.TiffFile(real_data / "slides" / "CMU-1-Small-Region.svs") as tiff:
        page = tiff.pages[0]
        start, count = page.dataoffsets[50], page.databytecounts[50]
    content[start : start + count] = b"\0" * count
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"hit\.svs: damaged at .*fetch the file again"):
        tiles_of(path, SlideSetSettings(labels="l.csv"))


@pytest.mark.parametrize("vendor", [".svs", ".tif"])
def test_jpeg_tile_that_ends_before_its_data_is_named(tmp_path, real_data, tiles_of, vendor):
    source = real_data / "slides" / "CMU-1-Small-Region.svs"
    with tifffile.TiffFile(source) as tiff:
        start, count = tiff.pages[0].dataoffsets[50], tiff.pages[0].databytecounts[50]
    content = bytearray(source.read_bytes())
    content[start + count // 2 : start + count // 2 + 2] = b"\xff\xd9"  # decoders paint the rest grey
    if vendor == ".tif":
        content = content.replace(b"Aperio", b"Nobody")
    path = tmp_path / f"hit{vendor}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"hit\.(svs|tif): damaged .*(bytes before its data do|fetch the file again)"):
        tiles_of(path, SlideSetSettings(labels="l.csv", mpp_um_per_px=0.5, slide_mpp_um_per_px=0.5))


@pytest.mark.parametrize("behind", [b"\0", b"\0" * 500, b"\xff" * 500, b"any word"])
def test_what_writers_fill_tiles_with_is_no_damage(behind):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).save(buffer, "JPEG")
    found = {"max_width_px": 64, "max_height_px": 64}
    for filling in (behind, bytes(5) + buffer.getvalue(), b"\xcd" * 300):
        assert jpeg_fault(buffer.getvalue() + filling, **found) is None
    half = len(buffer.getvalue()) // 2
    early = buffer.getvalue()[:half] + b"\xff\xd9" + buffer.getvalue()[half:]
    assert "ends" in (jpeg_fault(early + behind.strip(b"any word"), **found) or "")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_plain_jpeg_that_ends_before_its_data_is_named(tmp_path, mode, options):
    buffer = io.BytesIO()
    image = Image.effect_noise((300, 200), 60)
    image.convert(mode).save(buffer, "JPEG", **options)
    content, path = buffer.getvalue(), tmp_path / "s.jpg"
    for whole in (content, content + b"\0\0", content + b"SEFH words of a camera", content + content):
        path.write_bytes(whole)
        with open_picture(path) as opened:
            opened.read_region(0, 0, level=0, width_px=300, height_px=200)
    half = content.rindex(b"\xff\xda") + 400
    path.write_bytes(content[:half] + b"\xff\xd9" + content[half:])
    with (
        pytest.raises(DataError, match=r"s\.jpg: .*ends \d+ bytes before its data do"),
        open_picture(path) as opened,
    ):
        opened.read_region(0, 0, level=0, width_px=300, height_px=200)


def test_deflated_strip_damaged_mid_file_is_named(tmp_path, write_pyramid, stained, tiles_of):
    image = stained(512, 512, box=BOX)
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=None, rowsperstrip=16, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[0].dataoffsets[10]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"s\.tif: damaged in tile or strip 10 .*fetch the file again"):
        tiles_of(path)


def test_damaged_plain_image_is_named(tmp_path, stained, tiles_of):
    path = tmp_path / "s.png"
    Image.fromarray(stained(512, 512, box=BOX)).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"s\.png: damaged image .*fetch it again"):
        tiles_of(path, GIVEN)


def patched(path: Path, tag: int, value: int, *, page: int = 0) -> Path:
    """The TIFF with the value of one tag (a short or a long) overwritten in place."""
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[page].tags[tag]
        place, size = found.valueoffset, {3: "<H", 4: "<I"}[int(found.dtype)]
    content = bytearray(path.read_bytes())
    content[place : place + struct.calcsize(size)] = struct.pack(size, value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("tile", [(64, 64), None])
@pytest.mark.parametrize("side", [60_000, 1_900_000, 2**31 - 1])
def test_huge_declared_size_takes_no_memory(tmp_path, write_pyramid, stained, side, tile, tiles_of):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512)], mpp=MPP, tile=tile, compression="zlib")
    patched(patched(path, 256, side), 257, side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"s\.tif: "):
            tiles_of(path)
        assert tracemalloc.get_traced_memory()[1] < 400 * 2**20
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # kilobytes: 1 GiB


def test_decompression_bomb_is_refused_from_its_header(tmp_path, tiles_of):
    path = tmp_path / "s.png"
    Image.new("1", (1, 1)).save(path)
    content = bytearray(path.read_bytes())
    header = slice(12, 29)  # IHDR: name, width, height, five bytes; after it its checksum
    content[16:24] = struct.pack(">II", 40_000, 30_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[header]))
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"s\.png: too large to be read without tiles.*vips tiffsave"):
        tiles_of(path, GIVEN)


def test_tile_data_that_is_not_there_is_glass(tmp_path, write_pyramid, stained):
    """A sparse TIFF: a tile of zero bytes is one that the writer left out."""
    image = stained(512, 512, box=BOX)
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=None, rowsperstrip=64, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        counts = tiff.pages[0].tags[279]
        place = counts.valueoffset + 2 * struct.calcsize({3: "<H", 4: "<I"}[int(counts.dtype)])
    content = bytearray(path.read_bytes())
    content[place : place + 2] = b"\0\0"
    path.write_bytes(content)
    with open_slide(path) as slide:
        region = slide.read_region(0, 120, level=0, width_px=512, height_px=80)
    assert (region[8:72] == 255).all()
    assert not (region[:8] == 255).all()
