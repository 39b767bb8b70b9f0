import logging

import numpy as np
import pytest
import tifffile

from hage_transfer.errors import DataError
from hage_transfer.slides.find import find_slide, refuse_one_slide_twice
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.resolution import from_openslide, settle_resolution
from hage_transfer.slides.table import read_slide_table


def settle(tmp_path, properties, *, fallback=None, override=None):
    return settle_resolution(
        tmp_path / "s.svs", from_openslide(properties), fallback_um_per_px=fallback, override_um_per_px=override
    )


@pytest.mark.parametrize(
    ("properties", "mpp"),
    [
        ({"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"}, 0.5),
        ({"openslide.mpp-x": "0.5"}, 0.5),
        ({"tiff.XResolution": "40000", "tiff.YResolution": "40000", "tiff.ResolutionUnit": "centimeter"}, 0.25),
        ({"tiff.XResolution": "50800", "tiff.ResolutionUnit": "inch"}, 0.5),
        ({"openslide.mpp-x": "0", "tiff.XResolution": "40000", "tiff.ResolutionUnit": "centimeter"}, 0.25),
    ],
)
def test_resolution_reads_metadata_then_tags(tmp_path, properties, mpp):
    assert settle(tmp_path, properties).mean_um_per_px == pytest.approx(mpp)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({}, "records no resolution"),
        ({"openslide.mpp-x": "unknown"}, "records no resolution"),
        ({"tiff.XResolution": "40000"}, "records no resolution"),
        ({"openslide.mpp-x": "0"}, "0 um per px in its metadata"),
        ({"openslide.mpp-x": "1e-9"}, "1e-09 um per px in its metadata"),
        ({"openslide.mpp-x": "6350"}, "6350 um per px"),  # 0.25 read as inches: 25400 too much
        ({"openslide.mpp-x": "0.5", "openslide.mpp-y": "0"}, "0.5 by 0 um per px"),
        ({"tiff.XResolution": "72", "tiff.ResolutionUnit": "inch"}, "352.778 um per px in its TIFF resolution tags"),
    ],
)
def test_resolution_is_never_guessed(tmp_path, properties, said):
    with pytest.raises(DataError, match=rf"s\.svs: .*{said}.*mpp_um_per_px=.*data\.slide_mpp_um_per_px.*`mpp`"):
        settle(tmp_path, properties)
    assert settle(tmp_path, properties, fallback=0.25).mean_um_per_px == 0.25


def test_resolution_of_a_slide_goes_before_its_file_and_its_file_before_that_of_all(tmp_path, caplog):
    recorded = {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"}
    assert settle(tmp_path, recorded, fallback=0.25).mean_um_per_px == 0.5
    with caplog.at_level(logging.WARNING):
        assert settle(tmp_path, recorded, override=0.25).mean_um_per_px == 0.25
    assert "0.25 um per px of the slide table is used, the file says 0.5" in caplog.text


@pytest.mark.parametrize("given", [0.0, 1e-9, 6350.0])
def test_resolution_that_is_given_must_be_plausible(tmp_path, given):
    with pytest.raises(DataError, match=r"was given for level 0; level 0 of a slide has 0\.05 to 20"):
        settle(tmp_path, {}, fallback=given)


def test_unequal_axes_are_reported_and_kept(tmp_path, caplog):
    found = settle(tmp_path, {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.5"})
    assert (found.x_um_per_px, found.y_um_per_px) == (0.25, 0.5)
    assert "resolution differs between axes, 0.25 by 0.5" in caplog.text


@pytest.mark.parametrize(("unit", "scale"), [("µm", 1.0), ("nm", 1e3), ("mm", 1e-3)])
def test_ome_resolution_is_read_with_its_unit(tmp_path, unit, scale):
    path = tmp_path / "s.ome.tif"
    size = {f"PhysicalSize{axis}": 0.5 * scale for axis in "XY"} | {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    image = np.zeros((128, 128, 3), np.uint8)
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "YXS"} | size, photometric="rgb", tile=(64, 64))
    with open_slide(path) as slide:
        assert slide.mpp_um_per_px == pytest.approx(0.5)


@pytest.mark.parametrize("column", ["slide", "slide_id"])
def test_slide_table_reads_mpp_where_it_is_given(tmp_path, column):
    path = tmp_path / "t.csv"
    path.write_text(f"{column},label,mpp\na,x,0.25\nb,y,\n")
    assert [(row.name, row.mpp_um_per_px) for row in read_slide_table(path)] == [("a", 0.25), ("b", None)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\na\n", "has a column slide or slide_id or image_id, one of them; this has name"),
        ("slide,slide_id\na,b\n", "one of them; this has slide, slide_id"),
        ("slide\n", "without rows"),
        ("slide,mpp\na,fine\n", "line 2: mpp fine is no level-0 resolution"),
        ("slide,mpp\na,0\n", "line 2: mpp 0 is no"),
        ("slide\na\na\n", "line 3 repeats slide a"),
    ],
)
def test_slide_table_names_what_is_wrong(tmp_path, text, said):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"t\.csv: .*{said}"):
        read_slide_table(path)


def test_find_slide_takes_names_with_and_without_ending(tmp_path):
    for name in ("a.b.svs", "c.svs", "c.tif", "d.txt", "e.svs", "e.png", "f.png"):
        (tmp_path / name).touch()
    assert find_slide(tmp_path, "a.b").name == find_slide(tmp_path, "a.b.svs").name == "a.b.svs"
    assert find_slide(tmp_path, "e").name == "e.svs"  # not its thumbnail
    assert find_slide(tmp_path, "f").name == "f.png"
    with pytest.raises(DataError, match=r"c: several files, c\.svs, c\.tif"):
        find_slide(tmp_path, "c")
    with pytest.raises(DataError, match="d: no such file"):
        find_slide(tmp_path, "d")


def test_find_slide_takes_a_name_s_own_file_before_one_with_more_behind_a_dot(tmp_path):
    for name in ("S1.svs", "S1.2.svs", "S2.ome.tif", "S2.mask.tif", "S3.IHC.svs"):
        (tmp_path / name).touch()
    assert [find_slide(tmp_path, name).name for name in ("S1", "S1.2", "S2", "S3")] == [
        "S1.svs",
        "S1.2.svs",
        "S2.ome.tif",
        "S3.IHC.svs",
    ]


def test_one_file_under_two_names_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"S1 and S1\.2: one slide, S1\.2\.svs, and not two"):
        refuse_one_slide_twice([("S1", tmp_path / "S1.2.svs"), ("S1.2", tmp_path / "S1.2.svs")])


UUID = "f6e9a5df-d8fb-45cf-b4bd-c6b76294c291"


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ("x.h5", "x.svs"),
        ("D:\\slides\\x.svs", "x.svs"),
        ("x.tif", "x.svs"),
        ("X", "x.svs"),
        ("TCGA-ZZ-A000-01Z-00-DX1", f"TCGA-ZZ-A000-01Z-00-DX1.{UUID}.svs"),
        (f"TCGA-ZZ-A000-01Z-00-DX1.{UUID}", "TCGA-ZZ-A000-01Z-00-DX1.svs"),
        ("TCGA-ZZ-A000", f"TCGA-ZZ-A000-01Z-00-DX1.{UUID}.svs"),
    ],
)
def test_find_slide_takes_other_spellings_where_there_is_one_answer(tmp_path, asked, file):
    (tmp_path / file).touch()
    (tmp_path / "other.svs").touch()
    assert find_slide(tmp_path, asked).name == file


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "loop"])
def test_find_slide_names_what_is_the_name_of_no_file(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"^slide "):
        find_slide(tmp_path, name)


def test_records_that_disagree_are_told_once_and_those_that_agree_never(tmp_path, caplog):
    tags = {"tiff.XResolution": "20000", "tiff.YResolution": "20000", "tiff.ResolutionUnit": "centimeter"}
    for _ in range(2):
        own = {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25"}
        assert settle(tmp_path, own | tags).mean_um_per_px == 0.25
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "0.25 um per px in its metadata, 0.5 in its TIFF resolution tags (px per cm)" in caplog.text
    caplog.clear()
    settle(tmp_path, {"openslide.mpp-x": "0.4991", "openslide.mpp-y": "0.4991"} | tags)
    assert not caplog.records


def test_a_description_s_exponent_belongs_to_its_mpp(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", pixels, photometric="rgb", description="made | MPP = 2.5e-1 |")
    with open_slide(tmp_path / "s.tif") as slide:
        assert slide.mpp_um_per_px == 0.25


def test_slide_table_reads_mpp_in_capitals_and_names_what_is_like_it(tmp_path, caplog):
    table = tmp_path / "t.csv"
    table.write_text("slide,MPP\na,0.25\n")
    assert read_slide_table(table)[0].mpp_um_per_px == 0.25
    table.write_text("slide,MPP\na,0.25\nb,NA\nc,\n")
    assert [row.mpp_um_per_px for row in read_slide_table(table)] == [0.25, None, None]
    table.write_text("slide,mpp_um_per_px\na,0.25\n")
    assert read_slide_table(table)[0].mpp_um_per_px is None
    assert "its column mpp_um_per_px is not read; call it mpp" in caplog.text
    table.write_text("slide,MPP,mpp\na,0.25,0.5\n")
    with pytest.raises(DataError, match="columns MPP and mpp both say"):
        read_slide_table(table)
