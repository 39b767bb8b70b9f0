import h5py
import numpy as np
import pytest

from hage_transfer.config import PatchSetSettings
from hage_transfer.data.patches import read_patch_set
from hage_transfer.errors import DataError

PREFIX = "camelyonpatch_level_2_split_"
COUNTS = {"train": 300, "valid": 5, "test": 4}


def write_split(root, split, count, *, labels=None, meta=True):
    rng = np.random.default_rng(count)
    with h5py.File(root / f"{PREFIX}{split}_x.h5", "w") as file:
        file["x"] = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
    with h5py.File(root / f"{PREFIX}{split}_y.h5", "w") as file:
        values = np.arange(count) % 2 if labels is None else np.asarray(labels)
        file["y"] = values.astype(np.uint8).reshape(-1, 1, 1, 1)
    if meta:
        lines = [f"{k},{split}_slide_{k // 3}" for k in range(count)]
        (root / f"{PREFIX}{split}_meta.csv").write_text("\n".join(["index,wsi", *lines]) + "\n")


@pytest.fixture
def pcam(tmp_path):
    for split, count in COUNTS.items():
        write_split(tmp_path, split, count)
    return PatchSetSettings(layout="pcam", root=tmp_path)


def test_pcam_keys_labels_and_slides_follow_the_files(pcam):
    patches = read_patch_set(pcam)
    assert len(patches) == sum(COUNTS.values())
    assert patches.keys[[0, 299, 300, 305]].tolist() == ["train/0", "train/299", "valid/0", "test/0"]
    assert patches.labels[:3].tolist() == ["0", "1", "0"]
    assert patches.groups[[3, 300]].tolist() == ["train_slide_1", "valid_slide_0"]
    assert patches.patch_px == 96


def test_pcam_images_stream_in_key_order(pcam):
    found = list(read_patch_set(pcam).images())
    with h5py.File(pcam.root / f"{PREFIX}train_x.h5") as train, h5py.File(pcam.root / f"{PREFIX}test_x.h5") as test:
        np.testing.assert_array_equal(found[299], train["x"][299])
        np.testing.assert_array_equal(found[-1], test["x"][3])


def test_pcam_without_meta_has_no_groups(pcam, caplog):
    (pcam.root / f"{PREFIX}valid_meta.csv").unlink()
    assert read_patch_set(pcam).groups is None
    assert "valid_meta.csv" in caplog.text


def test_pcam_with_some_splits_names_the_absent(tmp_path, caplog):
    write_split(tmp_path, "test", 4)
    assert len(read_patch_set(PatchSetSettings(layout="pcam", root=tmp_path))) == 4
    assert "without its train, valid split" in caplog.text


def test_pcam_absent_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no camelyonpatch_level_2_split_train_x\.h5"):
        read_patch_set(PatchSetSettings(layout="pcam", root=tmp_path))


def test_pcam_packed_says_gunzip(tmp_path):
    (tmp_path / f"{PREFIX}train_x.h5.gz").write_bytes(b"")
    with pytest.raises(DataError, match="gunzip"):
        read_patch_set(PatchSetSettings(layout="pcam", root=tmp_path))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / f"{PREFIX}train_y.h5").unlink(), r"train_y\.h5: no such file"),
        (lambda root: (root / f"{PREFIX}test_x.h5").write_bytes(b"no h5"), r"test_x\.h5: cannot be read as h5"),
        (lambda root: write_split(root, "valid", 5, labels=[0, 1, 2, 0, 1]), "labels are 0 and 1"),
        (lambda root: write_split(root, "valid", 5, labels=[0, 1]), "2 labels for 5 patches"),
        (lambda root: (root / f"{PREFIX}test_meta.csv").write_text("index\n0\n"), "no column wsi"),
        (lambda root: (root / f"{PREFIX}test_meta.csv").write_text("wsi\na\n"), "1 rows for 4 patches"),
    ],
)
def test_pcam_fault_is_named(pcam, spoil, message):
    spoil(pcam.root)
    with pytest.raises(DataError, match=message):
        read_patch_set(pcam)


@pytest.mark.parametrize("cell", ["", ",", ",  "])
def test_pcam_meta_without_a_slide_is_named_by_its_line(pcam, cell):
    path = pcam.root / f"{PREFIX}valid_meta.csv"
    lines = path.read_text().splitlines()
    lines[2] = f"1{cell}"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"valid_meta\.csv: line 3 names no slide \(wsi\)"):
        read_patch_set(pcam)


def test_pcam_meta_in_another_order_is_refused_by_its_labels(pcam):
    path = pcam.root / f"{PREFIX}test_meta.csv"
    path.write_text("tumor_patch,wsi\nFalse,a\nFalse,a\nTrue,b\nTrue,b\n")
    with pytest.raises(DataError, match=r"line 3: tumor_patch is False, the label of patch 1 is 1; the rows are not"):
        read_patch_set(pcam)


def test_pcam_meta_in_another_order_is_refused_by_the_centre_of_its_patches(pcam):
    path = pcam.root / f"{PREFIX}test_meta.csv"
    path.write_text("tumor_patch,center_tumor_patch,wsi\nTrue,True,a\nTrue,True,a\nTrue,True,b\nTrue,True,b\n")
    with pytest.raises(DataError, match=r"line 2: center_tumor_patch is True, the label of patch 0 is 0; the rows are"):
        read_patch_set(pcam)


def test_pcam_tumour_beside_the_centre_of_a_patch_leaves_its_label_0(pcam):
    rows = ["coord_x,coord_y,tumor_patch,center_tumor_patch,wsi", "0,0,True,False,a", "0,0,True,True,a"]
    (pcam.root / f"{PREFIX}test_meta.csv").write_text("\n".join([*rows, "0,0,False,False,b", "0,0,True,True,b"]) + "\n")
    patches = read_patch_set(pcam)
    assert patches.groups is not None
    assert patches.labels[-4:].tolist() == ["0", "1", "0", "1"]
    assert patches.groups[-4:].tolist() == ["a", "a", "b", "b"]


def test_pcam_meta_that_is_not_text_is_an_error(pcam):
    (pcam.root / f"{PREFIX}test_meta.csv").write_text("index,wsi\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"test_meta\.csv: cannot be read as csv"):
        read_patch_set(pcam)


def test_pcam_of_patches_of_two_sizes_is_refused(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        write_split(tmp_path, split, count)
    with h5py.File(tmp_path / f"{PREFIX}test_x.h5", "w") as file:
        file["x"] = np.zeros((2, 48, 48, 3), np.uint8)
    with pytest.raises(DataError, match=r"test_x\.h5: patches of 48 px, those of train have 96"):
        read_patch_set(PatchSetSettings(layout="pcam", root=tmp_path))
