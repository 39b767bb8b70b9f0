"""Odd slides that are right: each works as any other does."""

import errno

import numpy as np
import pytest
import tifffile
from PIL import Image

from hage_transfer.config import SlideSetSettings
from hage_transfer.errors import DataError
from hage_transfer.slides.openslide_source import OpenSlideSource
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.survey import survey_slide

MPP = 4.0
SETTINGS = SlideSetSettings(labels="l.csv", mpp_um_per_px=MPP, tile_px=64, min_tissue=0.5)
GIVEN = SETTINGS.model_copy(update={"slide_mpp_um_per_px": MPP})
BOX = (64, 448, 64, 448)


def test_good_slide_works(good, tiles_of):
    assert len(tiles_of(good)) == 36


def test_no_pyramid_works(tmp_path, write_pyramid, stained, tiles_of):
    assert len(tiles_of(write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=MPP))) == 36


def test_one_pixel_is_smaller_than_a_tile(tmp_path, write_pyramid, tiles_of):
    path = write_pyramid(tmp_path / "s.tif", [np.full((1, 1, 3), 200, np.uint8)], mpp=MPP, tile=None)
    with pytest.raises(DataError, match=r"s\.tif: none of 0 tiles .*smaller than a tile"):
        tiles_of(path)


def test_all_glass_has_no_tile(tmp_path, write_pyramid, stained, tiles_of):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512)], mpp=MPP)
    with pytest.raises(DataError, match=r"s\.tif: none of 64 tiles .*the most tissue in one is 0\.00"):
        tiles_of(path)
    found = survey_slide(path, SETTINGS, own_mpp_um_per_px=None, picture=tmp_path / "s.png", geojson=None)
    assert (found["tiles"], found["pieces"]) == (0, 0)
    assert "the most tissue in one is 0.00" in found["why_no_tiles"]


def test_all_tissue_keeps_every_tile(tmp_path, write_pyramid, stained, tiles_of):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=(0, 512, 0, 512))], mpp=MPP)
    assert len(tiles_of(path)) == 64


@pytest.mark.parametrize("name", ["with spaces.tif", "schnitt-äöü-切片.tif", "a[1]*?.tif", "-v.tif", "x.y.z.tif"])
def test_name_of_any_kind_works(good, name, tiles_of):
    path = good.rename(good.with_name(name))
    assert len(tiles_of(path)) == 36


def test_link_to_a_slide_works(good, tiles_of):
    link = good.with_name("link.svs")
    link.symlink_to(good)
    assert len(tiles_of(link)) == 36


def test_bigtiff_works(tmp_path, write_pyramid, stained, tiles_of):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=MPP, bigtiff=True)
    assert len(tiles_of(path)) == 36


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_sixteen_bits_are_read_as_eight(tmp_path, write_pyramid, stained, tile, tiles_of):
    image = stained(512, 512, box=BOX)
    wide = write_pyramid(tmp_path / "s.tif", [image.astype(np.uint16) << 8], mpp=MPP, tile=tile)
    plain = write_pyramid(tmp_path / "t.tif", [image], mpp=MPP, tile=tile)
    np.testing.assert_allclose(tiles_of(wide).astype(int), tiles_of(plain), atol=1)


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_grey_tiff_works_and_its_tissue_is_what_is_dark(tmp_path, write_pyramid, stained, tile, tiles_of):
    image = stained(512, 512, box=BOX)[..., 1]
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=tile, photometric="minisblack")
    assert len(tiles_of(path)) == 36


def test_inverted_grey_tiff_is_turned_over(tmp_path, write_pyramid, stained, tiles_of):
    image = 255 - stained(512, 512, box=BOX)[..., 1]
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=None, photometric="miniswhite")
    assert len(tiles_of(path)) == 36


def test_rgba_tiff_shows_glass_where_it_is_transparent(tmp_path, write_pyramid, stained, tiles_of):
    image = np.dstack([stained(512, 512, box=BOX), np.full((512, 512), 255, np.uint8)])
    image[:256] = 0
    path = write_pyramid(tmp_path / "s.tif", [image], mpp=MPP, tile=None, extrasamples=["unassalpha"])
    assert len(tiles_of(path)) == 18


def test_palette_png_works(tmp_path, stained, tiles_of):
    Image.fromarray(stained(512, 512, box=BOX)).quantize(128).save(tmp_path / "s.png")
    assert len(tiles_of(tmp_path / "s.png", GIVEN)) == 36


def test_planar_tiff_works(tmp_path, write_pyramid, stained, tiles_of):
    image = stained(512, 512, box=BOX)
    options = {"tile": None, "rowsperstrip": 50, "planarconfig": "separate"}
    path = write_pyramid(tmp_path / "s.tif", [image.transpose(2, 0, 1)], mpp=MPP, **options)
    plain = write_pyramid(tmp_path / "t.tif", [image], mpp=MPP)
    np.testing.assert_array_equal(tiles_of(path), tiles_of(plain))


def test_other_pages_are_no_levels(tmp_path, stained, tiles_of):
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


def test_ome_pyramid_in_subifds_is_read_as_levels(tmp_path, stained, tiles_of):
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
def test_resolution_that_is_missing_or_absurd_is_asked_for(tmp_path, write_pyramid, stained, mpp, said, tiles_of):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=mpp)
    with pytest.raises(DataError, match=rf"s\.tif: .*{said}.*mpp_um_per_px="):
        tiles_of(path)
    assert len(tiles_of(path, GIVEN)) == 36


def test_unequal_axes_give_tiles_square_in_micrometres(tmp_path, write_pyramid, stained, caplog, tiles_of):
    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=(MPP, MPP / 2))
    assert len(tiles_of(path)) == 24  # 64 px wide and 128 px high: 6 columns, and 4 rows that hold half or more
    assert "resolution differs between axes" in caplog.text


@pytest.mark.parametrize(("channels", "kind"), [(2, np.uint8), (5, np.uint8), (3, np.float32), (3, np.uint32)])
def test_image_that_is_not_brightfield_is_named(tmp_path, channels, kind, tiles_of):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((64, 64, channels), kind), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"s\.tif: .*save it as 8-bit RGB"):
        tiles_of(path, GIVEN)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("s.ome.tif", {"ome": True, "tile": (64, 64)}), ("s.ome.tif", {"ome": True}), ("s.tif", {"imagej": True})],
)
def test_channels_in_images_of_their_own_are_no_grey_slide(tmp_path, stained, name, kind, tiles_of):
    planes = np.ascontiguousarray(stained(512, 512, box=BOX).transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / name, planes, photometric="minisblack", metadata={"axes": "CYX"}, **kind)
    with pytest.raises(DataError, match=r"3 channels, each in an image of its own.*save it as 8-bit RGB"):
        tiles_of(tmp_path / name, GIVEN)


def test_disk_that_fails_while_a_slide_is_read_is_named(tmp_path, write_pyramid, stained, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    path = write_pyramid(tmp_path / "s.tif", [stained(512, 512, box=BOX)], mpp=MPP, tile=None)
    with open_slide(path) as slide, monkeypatch.context() as patch:
        patch.setattr(tifffile.FileHandle, "read", fail)
        with pytest.raises(DataError, match=r"s\.tif: cannot be read \(Input/output error\); see its disk"):
            slide.read_region(0, 0, level=0, width_px=64, height_px=64)


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
