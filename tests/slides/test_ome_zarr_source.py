import json

import numpy as np
import pytest
import zarr

from hage_transfer.errors import DataError
from hage_transfer.running.file_stamp import file_stamp
from hage_transfer.slides.reader import open_picture, open_slide

RGB = np.random.default_rng(0).integers(0, 255, (3, 300, 500), dtype=np.uint8)


def write(path, rgb=RGB, *, version=3, axes="cyx"):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("0", data=rgb, chunks=tuple(min(128, side) for side in rgb.shape))
    group.create_array("1", data=np.ascontiguousarray(rgb[:, ::2, ::2]))
    scales = [{"axes": [{"name": axis} for axis in axes], "datasets": [{"path": "0"}, {"path": "1"}]}]
    group.attrs.update({"ome": {"multiscales": scales}} if version == 3 else {"multiscales": scales})
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr_is_a_picture_of_its_levels(tmp_path, version):
    with open_picture(write(tmp_path / "he", version=version)) as picture:
        assert [(level.width_px, level.height_px) for level in picture.levels] == [(500, 300), (250, 150)]
        region = picture.read_region(200, 40, level=0, width_px=100, height_px=60)
    np.testing.assert_array_equal(region, np.moveaxis(RGB[:, 40:100, 200:300], 0, 2))


def test_ome_zarr_records_no_micrometres(tmp_path):
    with open_slide(write(tmp_path / "he"), needs_resolution=False) as slide:
        assert slide.resolution is None


@pytest.mark.parametrize(
    ("rgb", "axes"), [(RGB.astype("u2"), "cyx"), (RGB[:1], "cyx"), (RGB, "zyx"), (np.repeat(RGB, 2, axis=0), "cyx")]
)
def test_ome_zarr_of_other_samples_is_refused(tmp_path, rgb, axes):
    path = write(tmp_path / "he", rgb, axes=axes)
    with pytest.raises(DataError, match=r"he: axes .* three channels of 8 bits"), open_picture(path):
        pass


def test_ome_zarr_without_a_level_that_it_lists_is_refused(tmp_path):
    path = write(tmp_path / "he")
    facts = json.loads((path / "zarr.json").read_text())
    facts["attributes"]["ome"]["multiscales"][0]["datasets"].append({"path": "7"})
    (path / "zarr.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="cannot be read as an OME-Zarr picture"), open_picture(path):
        pass


def test_stamp_of_a_folder_knows_its_files(tmp_path):
    path = write(tmp_path / "he")
    before = file_stamp(path)
    assert before == file_stamp(path)
    (path / "more").write_text("x")
    assert file_stamp(path) != before
