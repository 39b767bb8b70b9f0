"""Damaged and odd slides: each is named with its reason and the remedy, or works; none takes memory it declares."""

import os
import resource
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hage_transfer.config import SlideSetSettings
from hage_transfer.errors import DataError
from hage_transfer.slides.openslide_source import OpenSlideSource
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.survey import survey_slide
from hage_transfer.slides.tiles import cut_tiles, iter_tiles
from hage_transfer.slides.tissue import find_tissue

MPP = 4.0
SETTINGS = SlideSetSettings(labels="l.csv", mpp_um_per_px=MPP, tile_px=64, min_tissue=0.5)
GIVEN = SETTINGS.model_copy(update={"slide_mpp_um_per_px": MPP})
BOX = (64, 448, 64, 448)


def tiles_of(path: Path, settings: SlideSetSettings = SETTINGS) -> np.ndarray:
    """All that is done to a slide: opened, tissue found, tiles cut, every tile read."""
    with open_slide(path, mpp_um_per_px=settings.slide_mpp_um_per_px) as slide:
        grid = cut_tiles(slide, find_tissue(slide, settings.tissue), settings)
        return np.stack(list(iter_tiles(slide, grid)))


@pytest.fixture
def good(tmp_path, write_pyramid, stained):
    image = stained(512, 512, box=BOX)
    return write_pyramid(tmp_path / "good.tif", [image, image[::2, ::2], image[::4, ::4]], mpp=MPP)


def test_good_slide_works(good):
    assert len(tiles_of(good)) == 36


# --- files that are no slides


@pytest.mark.parametrize("name", ["s.svs", "s.tif", "s.ndpi", "s.png", "s.mrxs"])
def test_zero_bytes_are_named(tmp_path, name):
    path = tmp_path / name
    path.touch()
    with pytest.raises(DataError, match=rf"{name}: the file is empty \(0 bytes\); fetch it again"):
        tiles_of(path)


@pytest.mark.parametrize("name", ["s.tif", "s.svs", "s.jpg"])
def test_text_file_under_a_slide_s_name_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_text("this is not a slide\n" * 50)
    with pytest.raises(DataError, match=rf"{name}: neither a slide nor an image that can be read"):
        tiles_of(path)


def test_wrong_ending_works_where_the_content_is_a_slide(good):
    assert len(tiles_of(good.rename(good.with_name("good.jpg")))) == 36


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"s\.svs: no such slide"):
        tiles_of(tmp_path / "s.svs")


def test_folder_of_a_slide_s_name_is_named(tmp_path):
    (tmp_path / "s.svs").mkdir()
    with pytest.raises(DataError, match=r"s\.svs: a folder, not a slide"):
        tiles_of(tmp_path / "s.svs")


def test_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "s.svs").symlink_to(tmp_path / "gone.svs")
    with pytest.raises(DataError, match=r"s\.svs: a link to .*gone\.svs, which is not there"):
        tiles_of(tmp_path / "s.svs")


def test_pipe_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "s.svs")
    with pytest.raises(DataError, match=r"s\.svs: not a regular file"):
        tiles_of(tmp_path / "s.svs")


def test_file_that_may_not_be_read_is_named(good, monkeypatch):
    """Simulated, since a test that runs as root may read everything."""

    def refuse(self, *arguments, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"good\.tif: cannot be read \(Permission denied\); see its permissions"):
        tiles_of(good)


# --- damage


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncated_slide_is_named(good, share):
    content = good.read_bytes()
    good.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"good\.tif: (truncated|damaged|OpenSlide cannot).*fetch it again"):
        tiles_of(good)


@pytest.mark.parametrize("real", ["CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_truncated_real_slide_is_named(tmp_path, real_data, real):
    content = (real_data / "slides" / real).read_bytes()
    for share in (0.001, 0.4, 0.95):
        path = tmp_path / "cut.svs"
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=r"cut\.svs: "):
            tiles_of(path, GIVEN.model_copy(update={"mpp_um_per_px": 0.5, "slide_mpp_um_per_px": 0.5}))


def test_jpeg_tile_damaged_mid_file_is_named(tmp_path, real_data):
    path = tmp_path / "hit.svs"
    content = bytearray((real_data / "slides" / "CMU-1-Small-Region.svs").read_bytes())
    with tifffile.TiffFile(real_data / "slides" / "CMU-1-Small-Region.svs") as tiff:
        page = tiff.pages[0]
        start, count = page.dataoffsets[50], page.databytecounts[50]
    content[start : start + count] = b"\0" * count
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"hit\.svs: damaged at .*fetch the file again"):
        tiles_of(path, SlideSetSettings(labels="l.csv"))


def test_deflated_strip_damaged_mid_file_is_named(tmp_path, write_pyramid, stained):
    image = stained(512, 512, box=BOX)
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=None, rowsperstrip=16, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[0].dataoffsets[10]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"s\.tif: damaged in tile or strip 10 .*fetch the file again"):
        tiles_of(path)


def test_damaged_plain_image_is_named(tmp_path, stained):
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
def test_huge_declared_size_takes_no_memory(tmp_path, write_pyramid, stained, side, tile):
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


def test_decompression_bomb_is_refused_from_its_header(tmp_path):
    path = tmp_path / "s.png"
    Image.new("1", (40_000, 30_000)).save(path)
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


# --- odd, yet right


def test_no_pyramid_works(tmp_path, write_pyramid, stained):
    assert len(tiles_of(write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=MPP))) == 36


def test_one_pixel_is_smaller_than_a_tile(tmp_path, write_pyramid):
    path = write_pyramid(tmp_path / "s.tif", [np.full((1, 1, 3), 200, np.uint8)], mpp=MPP, tile=None)
    with pytest.raises(DataError, match=r"s\.tif: none of 0 tiles .*smaller than a tile"):
        tiles_of(path)


def test_all_glass_has_no_tile(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512)], mpp=MPP)
    with pytest.raises(DataError, match=r"s\.tif: none of 64 tiles .*the most tissue in one is 0\.00"):
        tiles_of(path)
    found = survey_slide(path, SETTINGS, own_mpp_um_per_px=None, picture=tmp_path / "s.png", geojson=None)
    assert (found.tiles, found.pieces) == (0, 0)
    assert "the most tissue in one is 0.00" in found.why_no_tiles


def test_all_tissue_keeps_every_tile(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=(0, 512, 0, 512))], mpp=MPP)
    assert len(tiles_of(path)) == 64


@pytest.mark.parametrize("name", ["with spaces.tif", "schnitt-äöü-切片.tif", "a[1]*?.tif", "-v.tif", "x.y.z.tif"])
def test_name_of_any_kind_works(good, name):
    path = good.rename(good.with_name(name))
    assert len(tiles_of(path)) == 36


def test_link_to_a_slide_works(good):
    link = good.with_name("link.svs")
    link.symlink_to(good)
    assert len(tiles_of(link)) == 36


def test_bigtiff_works(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=MPP, bigtiff=True)
    assert len(tiles_of(path)) == 36


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_sixteen_bits_are_read_as_eight(tmp_path, write_pyramid, stained, tile):
    image = stained(512, 512, box=BOX)
    wide = write_pyramid(tmp_path / "s.tif", [image.astype(np.uint16) << 8], mpp=MPP, tile=tile)
    plain = write_pyramid(tmp_path / "t.tif", [image], mpp=MPP, tile=tile)
    np.testing.assert_allclose(tiles_of(wide).astype(int), tiles_of(plain), atol=1)


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_grey_tiff_works_and_its_tissue_is_what_is_dark(tmp_path, write_pyramid, stained, tile):
    image = stained(512, 512, box=BOX)[..., 1]
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=tile, photometric="minisblack")
    assert len(tiles_of(path)) == 36


def test_inverted_grey_tiff_is_turned_over(tmp_path, write_pyramid, stained):
    image = 255 - stained(512, 512, box=BOX)[..., 1]
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=None, photometric="miniswhite")
    assert len(tiles_of(path)) == 36


def test_rgba_tiff_shows_glass_where_it_is_transparent(tmp_path, write_pyramid, stained):
    image = np.dstack([stained(512, 512, box=BOX), np.full((512, 512), 255, np.uint8)])
    image[:256] = 0
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=None, extrasamples=["unassalpha"])
    assert len(tiles_of(path)) == 18


def test_palette_png_works(tmp_path, stained):
    Image.fromarray(stained(512, 512, box=BOX)).quantize(128).save(tmp_path / "s.png")
    assert len(tiles_of(tmp_path / "s.png", GIVEN)) == 36


def test_planar_tiff_works(tmp_path, write_pyramid, stained):
    image = stained(512, 512, box=BOX)
    options = {"tile": None, "rowsperstrip": 50, "planarconfig": "separate"}
    path = write_pyramid(tmp_path / "s.tif", [image.transpose(2, 0, 1)], mpp=MPP, **options)
    plain = write_pyramid(tmp_path / "t.tif", [image], mpp=MPP)
    np.testing.assert_array_equal(tiles_of(path), tiles_of(plain))


def test_other_pages_are_no_levels(tmp_path, stained):
    path = tmp_path / "s.tif"
    image = stained(512, 512, box=BOX)
    with tifffile.TiffWriter(path) as tiff:
        for one in (image, np.zeros_like(image), image[:100, :200]):
            tiff.write(one, photometric="rgb", resolution=(1e4 / MPP,) * 2, resolutionunit="CENTIMETER", metadata=None)
    with open_slide(path) as slide:
        assert slide.level_downsamples == (1.0,)
        assert slide.notes == ("2 other images in the file, not read",)
    assert len(tiles_of(path)) == 36


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_level_of_another_shape_is_not_read(tmp_path, write_pyramid, stained, caplog, tile):
    image = stained(512, 512, box=BOX)
    levels = [image, np.zeros((256, 200, 3), np.uint8), image[::4, ::4]]
    path = write_pyramid(tmp_path / "s.tif", levels, mpp=MPP, tile=tile)
    with open_slide(path) as slide:
        assert slide.level_downsamples == (1.0, 4.0)
        assert slide.thumbnail(downsample=2.0, max_px=512).mean() > 100
    assert "is not level 0 (512 x 512 px) reduced by one factor" in caplog.text


def test_ome_pyramid_in_subifds_is_read_as_levels(tmp_path, stained):
    image = stained(512, 512, box=BOX)
    path = tmp_path / "s.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        how = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"}
        tiff.write(image, subifds=1, metadata={"axes": "YXS", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP}, **how)
        tiff.write(image[::2, ::2], subfiletype=1, **how)
    with open_slide(path) as slide:
        assert slide.level_downsamples == (1.0, 2.0)
    assert len(tiles_of(path)) == 36


@pytest.mark.parametrize(("mpp", "said"), [(None, "records no"), (0.001, "0.001 um per px"), (400.0, "400 um per px")])
def test_resolution_that_is_missing_or_absurd_is_asked_for(tmp_path, write_pyramid, stained, mpp, said):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=mpp)
    with pytest.raises(DataError, match=rf"s\.tif: .*{said}.*--mpp"):
        tiles_of(path)
    assert len(tiles_of(path, GIVEN)) == 36


def test_unequal_axes_give_tiles_square_in_micrometres(tmp_path, write_pyramid, stained, caplog):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=(MPP, MPP / 2))
    assert len(tiles_of(path)) == 24  # 64 px wide and 128 px high: 6 columns, and 4 rows that hold half or more
    assert "resolution differs between axes" in caplog.text


@pytest.mark.parametrize(("channels", "kind"), [(2, np.uint8), (5, np.uint8), (3, np.float32), (3, np.uint32)])
def test_image_that_is_not_brightfield_is_named(tmp_path, channels, kind):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((64, 64, channels), kind), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"s\.tif: .*save it as 8-bit RGB"):
        tiles_of(path, GIVEN)


def test_empty_border_of_mrxs_is_glass_and_its_corner_is_known(tmp_path):
    """What OpenSlide gives for MRXS: transparent black around the tiles, and the bounds of what was scanned."""

    class Mirax:
        dimensions, level_dimensions, level_downsamples = (100, 80), ((100, 80),), (1.0,)
        properties = {"openslide.bounds-x": "40", "openslide.bounds-y": "30", "openslide.mpp-x": "0.25"}  # noqa: RUF012

        def read_region(self, place, level, size):
            image = np.zeros((80, 100, 4), np.uint8)
            image[30:, 40:] = (200, 100, 150, 255)
            x, y = place
            return Image.fromarray(image[y : y + size[1], x : x + size[0]])

    source = OpenSlideSource(Mirax(), tmp_path / "s.mrxs")
    region = source.read(0, 0, 0, 100, 80)
    assert source.origin_px == (40, 30)
    assert (region[:30] == 255).all()
    assert (region[30:, 40:] == (200, 100, 150)).all()
