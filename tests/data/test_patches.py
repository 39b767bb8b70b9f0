import logging

import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import PatchSetSettings
from hage_transfer.data.patches import read_patch_set, tile_grid
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.running.file_stamp import file_stamp

UCSB = r"(?P<core>(?P<block>ytma\d+)_\d+)_(?P<label>benign|malignant)\d+_ccd\.tif"


def save(path, value=0, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


@pytest.fixture
def manifest(tmp_path):
    def write(*rows, header="path,label,group"):
        path = tmp_path / "manifest.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return PatchSetSettings(layout="manifest", root=tmp_path, manifest=path)

    for k, name in enumerate(("a.png", "b.png", "c.png")):
        save(tmp_path / name, value=k)
    return write


def test_manifest_keeps_the_file_s_order(manifest):
    patches = read_patch_set(manifest("b.png,x,p1", "a.png,y,p2"))
    assert patches.keys.tolist() == ["b.png", "a.png"]
    assert patches.labels.tolist() == ["x", "y"]
    assert patches.groups.tolist() == ["p1", "p2"]
    assert [image[0, 0, 0] for image in patches.images()] == [1, 0]


def test_manifest_without_groups_has_none(manifest):
    assert read_patch_set(manifest("a.png,x", header="path,label")).groups is None


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["a.png,x"], "path,class", "no column label; a manifest has path,label"),
        (["a.png,x"], "file,label", "no column path"),
        (["a.png,b.png,x"], "path,path,label", "column path is there twice; keep one"),
        ([], "path,label", "a manifest without rows"),
        (["a.png,"], "path,label", "line 2 has no label"),
        (["a.png,x", "b.png,"], "path,label", "line 3 has no label"),
        ([",x"], "path,label", "line 2 has no path"),
        (["a.png,x", "a.png,y"], "path,label", r"a\.png is listed twice, as x and as y"),
        (["a.png,x", "./a.png,x"], "path,label", "listed twice;"),
        (["a.png,x,p", "b.png,x,"], "path,label,group", r"1 of 2 rows have no group \(first: line 3\)"),
        (["a.png,x,unknown", "b.png,x,p"], "path,label,group", "line 2: group 'unknown' would make one patient"),
        (["absent.png,x"], "path,label", r"absent\.png: no such slide or image"),
        (["manifest.csv,x"], "path,label", r"manifest\.csv: neither a slide nor an image that can be read"),
    ],
)
def test_manifest_fault_is_named(manifest, rows, header, message):
    with pytest.raises(DataError, match=message):
        read_patch_set(manifest(*rows, header=header))


def test_manifest_absent_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no\.csv: no such manifest"):
        read_patch_set(PatchSetSettings(manifest=tmp_path / "no.csv"))


def test_missing_images_are_counted_and_the_first_named(manifest):
    rows = [f"gone{k}.png,x" for k in range(5)]
    with pytest.raises(DataError, match=r"gone0\.png.*gone2\.png.*and 2 more"):
        read_patch_set(manifest(*rows, header="path,label"))


def test_damaged_pixels_name_the_image(manifest, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:3000])
    patches = read_patch_set(manifest("cut.png,x", header="path,label"))
    with pytest.raises(DataError, match=r"cut\.png: damaged image"):
        list(patches.images())


def test_sixteen_bit_images_are_refused(manifest, tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: 16-bit grey samples \(Pillow's mode I;16\)"):
        read_patch_set(manifest("deep.png,x", header="path,label"))


def test_folder_label_is_the_first_folder(tmp_path, caplog):
    save(tmp_path / "normal" / "p1" / "a.png")
    save(tmp_path / "tumour" / "b.png")
    save(tmp_path / "stray.png")
    (tmp_path / "tumour" / "notes.txt").write_text("")
    with caplog.at_level(logging.WARNING):
        patches = read_patch_set(PatchSetSettings(layout="folder", root=tmp_path))
    assert dict(zip(patches.keys, patches.labels, strict=True)) == {
        "normal/p1/a.png": "normal",
        "tumour/b.png": "tumour",
    }
    assert "2 files left out" in caplog.text


def test_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no image in a folder of its label"):
        read_patch_set(PatchSetSettings(layout="folder", root=tmp_path))


@pytest.mark.parametrize(("group_by", "groups"), [("core", ["ytma1_01", "ytma1_02"]), ("block", ["ytma1", "ytma1"])])
def test_pattern_reads_label_and_group(tmp_path, caplog, group_by, groups):
    save(tmp_path / "ytma1_01_benign1_ccd.tif")
    save(tmp_path / "ytma1_02_malignant3_ccd.tif")
    save(tmp_path / "other.tif")
    with caplog.at_level(logging.WARNING):
        patches = read_patch_set(PatchSetSettings(layout="pattern", root=tmp_path, pattern=UCSB, group_by=group_by))
    assert patches.labels.tolist() == ["benign", "malignant"]
    assert patches.groups.tolist() == groups
    assert "1 files left out" in caplog.text


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"pattern": "no(?P<label>x)"}, DataError, r"none of 1 files matches .*for example a\.png"),
        ({"pattern": "(?P<kind>a).png"}, ConfigError, "no named group label, only kind"),
        ({"pattern": "(?P<label>a).png", "group_by": "core"}, ConfigError, "no named group core"),
        ({"pattern": "(?P<label>"}, ConfigError, "not a regular expression"),
        ({"pattern": r"(?P<label>x?)a\.png"}, DataError, "gives it an empty label"),
        ({}, ConfigError, r"layout pattern needs data\.pattern"),
        ({"layout": "folder", "group_by": "core"}, ConfigError, r"data\.group_by belongs to layout pattern"),
        ({"layout": "manifest"}, ConfigError, r"needs data\.manifest"),
        ({"pattern": r"(?P<label>a)\.png", "stride_px": 4}, ConfigError, r"stride_px needs data\.tile_px"),
        ({"layout": "pcam", "tile_px": 4}, ConfigError, "not cut"),
    ],
)
def test_wrong_settings_are_named(tmp_path, keys, error, message):
    save(tmp_path / "a.png")
    with pytest.raises(error, match=message):
        read_patch_set(PatchSetSettings(**{"layout": "pattern", "root": tmp_path, **keys}))


def test_tiles_hold_the_pixels_at_their_coordinates(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    settings = PatchSetSettings(layout="pattern", root=tmp_path, pattern=r"(?P<label>a)\.png", tile_px=16, stride_px=7)
    patches = read_patch_set(settings)
    for key, (x, y), tile in zip(patches.keys, patches.coords, patches.images(), strict=True):
        assert key == f"a.png#{x}_{y}"
        np.testing.assert_array_equal(tile, pixels[y : y + 16, x : x + 16])


def test_tile_grid_of_ucsb_has_35_tiles():
    assert len(tile_grid(896, 768, tile_px=224, stride_px=112)) == 35


def test_image_smaller_than_a_tile_is_named(manifest):
    settings = manifest("a.png,x", header="path,label").model_copy(update={"tile_px": 7})
    with pytest.raises(DataError, match=r"a\.png: 8 x 6 px holds no tile of data\.tile_px = 7"):
        read_patch_set(settings)


def test_sources_cover_the_rows_in_order(manifest):
    settings = manifest("a.png,x", "b.png,x", header="path,label").model_copy(update={"tile_px": 4, "stride_px": 2})
    patches = read_patch_set(settings)
    assert [row for source in patches.sources for row in source.rows] == list(range(len(patches)))


def test_file_stamp_follows_the_content(tmp_path):
    save(tmp_path / "a.png", value=1)
    before = file_stamp(tmp_path / "a.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert file_stamp(tmp_path / "copy.png") == before
    save(tmp_path / "a.png", value=2)
    assert file_stamp(tmp_path / "a.png") != before


def test_ucsb_real_images_give_2030_tiles(real_data):
    settings = PatchSetSettings(
        layout="pattern", root=real_data / "ucsb_breast", pattern=UCSB, group_by="core", tile_px=224, stride_px=112
    )
    patches = read_patch_set(settings)
    assert len(patches) == 2030
    assert {label: len({k for k, found in zip(patches.image_keys, patches.labels, strict=True) if found == label})
            for label in ("benign", "malignant")} == {"benign": 32, "malignant": 26}  # fmt: skip


def test_folders_named_after_parts_of_a_split_are_no_labels(tmp_path):
    for part in ("train", "Val", "test"):
        (tmp_path / part / "benign").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / part / "benign" / "a.png")
    with pytest.raises(DataError, match=r"its folders Val, test, train are parts of a split, not labels"):
        read_patch_set(PatchSetSettings(layout="folder", root=tmp_path))


def test_patches_that_lack_a_pixel_or_two_are_nothing_to_say(tmp_path, caplog):
    for name, size in (("a", (100, 100)), ("b", (100, 99)), ("c", (98, 100))):
        save(tmp_path / "t" / f"{name}.png", size=size)
    read_patch_set(PatchSetSettings(layout="folder", root=tmp_path))
    assert not caplog.records


def test_images_of_several_sizes_shapes_and_resolutions_are_told(tmp_path, caplog):
    settings = PatchSetSettings(layout="folder", root=tmp_path)
    save(tmp_path / "t" / "a.png", size=(8, 8))
    save(tmp_path / "T" / "b.png", size=(16, 8))
    read_patch_set(settings)
    assert "labels T and t differ only in case" in caplog.text
    assert "several sizes" not in caplog.text
    assert "1 of 2 images are no squares (first: T/b.png, 16 x 8 px)" in caplog.text
    caplog.clear()
    for name, side, dpi in (("a", 8, 50800), ("b", 16, 25400)):
        Image.new("RGB", (side, side)).save(tmp_path / "t" / f"{name}.png", dpi=(dpi, dpi))
    (tmp_path / "T" / "b.png").unlink()
    read_patch_set(settings)
    assert "several sizes, from t/a.png (8 x 8 px) to t/b.png (16 x 16 px)" in caplog.text
    assert "several resolutions, from 0.5 (t/a.png) to 1 um per px (t/b.png)" in caplog.text
    caplog.clear()
    read_patch_set(PatchSetSettings(layout="folder", root=tmp_path, tile_px=8))
    assert "several sizes" not in caplog.text


def test_a_manifest_s_column_of_patients_that_is_not_read_is_told(manifest, caplog):
    read_patch_set(manifest("a.png,x,p", "b.png,y,p", header="path,label,patient"))
    assert "its column patient names 1 patients of 2 rows and is not read" in caplog.text
