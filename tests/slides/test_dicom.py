"""DICOM slides: one slide a series, whatever its folder, with the pixels of the file that it was made of."""

import runpy
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest

from hage_transfer.errors import DataError
from hage_transfer.slides.dicom import series_in
from hage_transfer.slides.find import find_slide, refuse_one_slide_twice, slide_stamp, slides_in
from hage_transfer.slides.reader import open_slide

write_series = runpy.run_path(str(Path(__file__).with_name("dicom_writer.py")))["write_series"]


@pytest.fixture
def painted(stained):
    return stained(600, 700, box=(64, 500, 64, 600))


@pytest.mark.parametrize("opened_by", ["folder", "level", "label"])
def test_a_slide_as_dicom_has_the_pixels_and_levels_of_the_svs(real_data, tmp_path, opened_by):
    svs = real_data / "slides" / "CMU-1-Small-Region.svs"
    with open_slide(svs) as slide:
        size = {"width_px": slide.width_px, "height_px": slide.height_px}
        pixels = slide.read_region(0, 0, level=0, **size)
        mpp = slide.mpp_um_per_px
    paths = write_series(tmp_path / "cmu", pixels, mpp_um_per_px=mpp)
    path = {"folder": tmp_path / "cmu", "level": paths[1], "label": paths[4]}[opened_by]
    with open_slide(path) as slide:
        assert slide.name == path.name.removesuffix(".dcm")
        assert slide.mpp_um_per_px == pytest.approx(mpp)
        assert slide.level_downsamples == pytest.approx((1, 2, 4), rel=0.01)
        np.testing.assert_array_equal(slide.read_region(0, 0, level=0, **size), pixels)
        small = slide.read_region(10, 20, level=1, width_px=99, height_px=88).astype(int)
        assert np.abs(small - pixels[40:216:2, 20:218:2]).max() <= 1  # OpenSlide's factor is not quite 2


def test_instances_of_a_slide_are_one_slide_in_every_folder(tmp_path, painted, write_pyramid):
    write_series(tmp_path / "own", painted)
    shared = write_series(tmp_path, painted, container="S-2")
    write_pyramid(tmp_path / "c.tif", [painted], mpp=0.5)
    (tmp_path / "in").mkdir()
    write_pyramid(tmp_path / "in" / "scan.tif", [painted], mpp=0.5)
    (tmp_path / "notes").mkdir()
    found = {slide.name: slide.path for slide in slides_in(tmp_path)}
    assert found == {
        "S-2": shared[0],
        "c": tmp_path / "c.tif",
        "in": tmp_path / "in" / "scan.tif",
        "own": tmp_path / "own",
    }
    assert [slide.path for slide in slides_in(tmp_path / "own")] == [tmp_path / "own"]


def test_a_table_may_name_a_folder_an_instance_a_container_or_a_series(tmp_path, painted):
    write_series(tmp_path / "own", painted)
    shared = write_series(tmp_path, painted, container="S-2")
    (series,) = series_in(tmp_path)
    assert find_slide(tmp_path, "own") == find_slide(tmp_path, "own.svs") == tmp_path / "own"
    assert find_slide(tmp_path, shared[2].name) == shared[2]
    assert find_slide(tmp_path, "S-2") == find_slide(tmp_path, series.uid) == shared[0]
    with pytest.raises(DataError, match=r"slide other: no such file .*nearest there"):
        find_slide(tmp_path, "other")


def test_a_folder_of_two_series_is_no_slide(tmp_path, painted):
    for container in ("S-1", "S-2"):
        write_series(tmp_path / "both", painted, container=container)
    with pytest.raises(DataError, match="several DICOM series"):
        find_slide(tmp_path, "both")
    with pytest.raises(DataError, match="nor of one slide alone"), open_slide(tmp_path / "both"):
        pass


def test_two_instances_of_one_slide_are_refused_as_two_slides(tmp_path, painted):
    paths = write_series(tmp_path, painted)
    with pytest.raises(DataError, match=r"3 instances of one DICOM slide .*keep one row"):
        refuse_one_slide_twice([(path.stem, path) for path in paths[:3]])
    refuse_one_slide_twice([("a", paths[0]), ("b", tmp_path)])


def test_a_changed_instance_changes_the_stamp_of_the_folder(tmp_path, painted):
    paths = write_series(tmp_path / "s", painted)
    before = slide_stamp(tmp_path / "s")
    assert slide_stamp(tmp_path / "s") == before
    paths[3].unlink()
    assert slide_stamp(tmp_path / "s") != before


def test_instances_without_an_ending_are_found(tmp_path, painted):
    for path in write_series(tmp_path / "s", painted):
        path.rename(path.with_suffix(""))
    with open_slide(find_slide(tmp_path, "s")) as slide:
        assert (slide.width_px, slide.height_px) == (700, 600)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"samples": 1}, "a fluorescence slide"), ({"Modality": "CT"}, "modality SM")],
)
def test_dicom_of_another_kind_is_refused_by_name(tmp_path, painted, changed, said):
    path = write_series(tmp_path / "s", painted, **changed)[0]
    with pytest.raises(DataError, match=said), open_slide(path):
        pass


@pytest.mark.parametrize("keep", [140, 400, 2000])
def test_a_truncated_instance_is_a_message(tmp_path, painted, keep):
    path = write_series(tmp_path / "s", painted, downsamples=(1,), kinds=("VOLUME",))[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"\.dcm: "), open_slide(path) as slide:
        slide.read_region(0, 0, level=0, width_px=slide.width_px, height_px=slide.height_px)


def test_what_openslide_does_not_read_is_read_by_wsidicom(tmp_path, painted, monkeypatch):
    pytest.importorskip("wsidicom")
    paths = write_series(tmp_path / "s", painted)

    def refused(_):
        raise openslide.OpenSlideError("unsupported transfer syntax")

    for path in paths:
        instance = pydicom.dcmread(path)
        instance.Manufacturer, instance.ManufacturerModelName = "Roche", "DP 600"
        instance.save_as(path)
    monkeypatch.setattr("openslide.OpenSlide", refused)
    with open_slide(paths[0]) as slide:
        assert slide.scanner == "Roche DP 600"
        assert slide.resolution.mean_um_per_px == pytest.approx(0.5)
        np.testing.assert_array_equal(slide.read_region(0, 0, level=0, width_px=700, height_px=600), painted)
        small = slide.read_region(5, 6, level=1, width_px=50, height_px=40)
        np.testing.assert_array_equal(small, painted[12:92:2, 10:110:2])
