"""CLAM's, TRIDENT's and tensor files: what is read of them, and what is refused."""

import numpy as np
import pytest
import torch

from hage_transfer.data.feature_layouts import (
    Given,
    find_feature_files,
    open_features,
    opened,
    unknown_facts,
)
from hage_transfer.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
COORDS = np.stack([np.arange(7) * 512, np.arange(7) * 1024], axis=1)


def test_clam_features_take_their_patch_size_from_the_patches_beside_them(tmp_path, write_clam):
    source = open_features(write_clam(tmp_path))
    assert source.layout == "clam"
    assert (source.meta.patch_size_px, source.meta.patch_size_level0_px) == (256, 1024)
    read = source.read()
    np.testing.assert_array_equal(read.features, ROWS)
    np.testing.assert_array_equal(read.coords, COORDS)


@pytest.mark.parametrize(
    ("changed", "level0_px"),
    [
        ({"patch_level": 1, "downsample": (4.0, 4.0001)}, 1024),
        ({"patch_level": 2, "downsample": 16.0}, 4096),
        ({"patch_level": 0, "downsample": (1.0, 1.0), "custom_downsample": 2}, 512),
        ({"patch_level": 1, "downsample": (4.0, 8.0)}, 0),
    ],
)
def test_clam_patch_size_is_at_level_0_only_through_the_recorded_downsample(tmp_path, changed, level0_px, write_clam):
    meta = open_features(write_clam(tmp_path, **changed)).meta
    assert meta.patch_size_level0_px == level0_px
    assert ("patch_size_level0_px" in unknown_facts(meta)) == (level0_px == 0)


@pytest.mark.parametrize(("level", "level0_px"), [(0, 256), (1, 0)])
def test_clam_patch_size_without_a_downsample_is_known_at_level_0_alone(tmp_path, level, level0_px, write_h5):
    path = write_h5(tmp_path / "s1.h5", coords_attributes={"patch_size": 256, "patch_level": level})
    assert open_features(path).meta.patch_size_level0_px == level0_px


def test_trident_features_give_their_encoder_and_sizes_and_no_resolution(tmp_path, write_trident, trident_attributes):
    source = open_features(write_trident(tmp_path))
    assert source.layout == "trident"
    assert (source.meta.encoder, source.meta.patch_size_px, source.meta.patch_size_level0_px) == ("uni_v1", 256, 512)
    assert source.meta.mpp_um_per_px is None
    assert set(unknown_facts(source.meta)) == {"encoder_sha256", "encoder_licence", "precision", "mpp_um_per_px"}
    assert source.coord_attributes == trident_attributes


def test_trident_features_may_have_a_leading_axis_of_one(tmp_path, write_trident):
    source = open_features(write_trident(tmp_path, features=ROWS[None]))
    np.testing.assert_array_equal(source.read().features, ROWS)


def test_trident_text_none_is_no_encoder(tmp_path, write_trident):
    assert open_features(write_trident(tmp_path, encoder="None")).meta.encoder == "unknown"


def test_what_a_file_records_decides_its_layout_not_its_folder(tmp_path, write_trident):
    path = tmp_path / "h5_files" / "s1.h5"
    path.parent.mkdir()
    write_trident(tmp_path).rename(path)
    assert open_features(path).layout == "trident"


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.bfloat16])
def test_tensor_rows_are_read_bit_for_bit(tmp_path, kind, write_pt):
    tensor = torch.from_numpy(ROWS).to(kind)
    source = open_features(write_pt(tmp_path / "s1.pt", tensor))
    read = source.read()
    np.testing.assert_array_equal(read.features, tensor.float().numpy().astype(source.dtype))
    assert source.dtype == (np.float16 if kind == torch.float16 else np.float32)
    assert read.coords is None


def test_tensor_takes_the_coords_of_its_patches(tmp_path, write_clam, write_pt):
    write_clam(tmp_path)
    source = open_features(write_pt(tmp_path / "pt_files" / "s1.pt", torch.from_numpy(ROWS)))
    np.testing.assert_array_equal(source.coords, COORDS)
    assert source.meta.patch_size_level0_px == 1024


def test_unknown_encoders_of_two_folders_do_not_pass_for_one(tmp_path, write_h5, write_pt):
    one, two = (open_features(write_h5(tmp_path / name / "s1.h5")).meta for name in "ab")
    assert "encoder" in unknown_facts(one)
    assert one.encoder_sha256 != two.encoder_sha256
    write_pt(tmp_path / "c" / "pt_files" / "s1.pt", torch.from_numpy(ROWS))
    tensor, rows = tmp_path / "c" / "pt_files" / "s1.pt", write_h5(tmp_path / "c" / "h5_files" / "s1.h5")
    assert open_features(tensor).meta.encoder_sha256 == open_features(rows).meta.encoder_sha256


def test_what_the_user_says_is_recorded(tmp_path, write_trident):
    said = Given(encoder="uni", encoder_sha256="b" * 64, encoder_licence="MIT", precision="float16", mpp_um_per_px=0.5)
    meta = open_features(write_trident(tmp_path), given=said).meta
    assert {name: getattr(meta, name) for name in said.said()} == said.said()
    assert unknown_facts(meta) == []


def test_what_the_user_says_against_the_file_is_refused(tmp_path, own, write_trident):
    with pytest.raises(DataError, match="records encoder uni, encoder_name= says virchow"):
        open_features(own, given=Given(encoder="virchow"))
    with pytest.raises(DataError, match="records patch_size_px 256, patch_size_px= says 224"):
        open_features(write_trident(tmp_path), given=Given(patch_size_px=224))


def test_stamp_changes_with_what_the_user_says(tmp_path, write_trident):
    path = write_trident(tmp_path)
    assert open_features(path).stamp == open_features(path).stamp
    assert open_features(path).stamp != open_features(path, given=Given(mpp_um_per_px=0.5)).stamp


# Refusals


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"features": None}, "holds coords and no features: a file of patches"),
        ({"features": None, "coords": None}, r"no dataset `features`, only \[\]"),
        ({"features": ROWS[:6]}, "7 coords for 6 rows"),
        ({"features": ROWS[0]}, "one row for the whole slide"),
        ({"features": np.stack([ROWS, ROWS])}, r"features are \(N, D\), these have shape \(2, 7, 5\)"),
        ({"features": ROWS.astype(np.int32)}, "features of type int32"),
        ({"features": ROWS[:0], "coords": COORDS[:0]}, "an empty bag"),
        ({"coords": COORDS[:, :1]}, r"coords are \(N, 2\)"),
        ({"coords_attributes": {"patch_size": -1}}, "attribute patch_size of coords is -1"),
    ],
)
def test_open_features_refuse_an_h5_of_another_form(tmp_path, how, message, write_h5):
    with pytest.raises(DataError, match=message):
        open_features(write_h5(tmp_path / "s1.h5", **how))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"features": torch.from_numpy(ROWS)}, "holds a dict, wanted one tensor"),
        (torch.from_numpy(ROWS[0]), r"shape \(5,\)"),
        (torch.from_numpy(ROWS).long(), "int64, wanted"),
        (ROWS, "a pickled object"),
        (torch.from_numpy(ROWS[:0]), "an empty bag"),
    ],
)
def test_open_features_refuse_a_pt_that_is_no_table_of_numbers(tmp_path, value, message, write_pt):
    with pytest.raises(DataError, match=message):
        open_features(write_pt(tmp_path / "s1.pt", value))


@pytest.mark.parametrize("name", ["s1.pt", "s1.h5"])
def test_open_features_refuse_a_damaged_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing that can be read")
    with pytest.raises(DataError, match=rf"{name}: (cannot be read|is no file of torch)"):
        open_features(tmp_path / name)


def test_open_features_refuse_a_truncated_tensor(tmp_path, write_pt):
    path = write_pt(tmp_path / "s1.pt", torch.from_numpy(ROWS))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"s1\.pt: cannot be read by torch"):
        open_features(path)


def test_open_features_refuse_coords_of_another_cut(tmp_path, write_h5, write_clam, clam_attributes):
    path = write_clam(tmp_path)
    write_h5(tmp_path / "patches" / "s1.h5", features=None, coords=COORDS + 1, coords_attributes=clam_attributes)
    with pytest.raises(DataError, match="its coords are not those of"):
        open_features(path)


def test_blocks_name_the_row_that_holds_nan(tmp_path, monkeypatch, write_h5, write_pt):
    monkeypatch.setattr(opened, "BLOCK_BYTES", 40)  # two rows
    rows = ROWS.copy()
    rows[4, 2] = np.nan
    tensor = write_pt(tmp_path / "p" / "s1.pt", torch.from_numpy(rows))
    for path in (write_h5(tmp_path / "s1.h5", features=rows), tensor):
        with pytest.raises(DataError, match="row 4 of 7 holds NaN"):
            open_features(path).read()


# Folders


def test_find_feature_files_know_every_folder(tmp_path, own, write_clam, write_trident, write_pt):
    clam = write_clam(tmp_path / "clam")
    only = write_pt(tmp_path / "clam" / "pt_files" / "s2.pt", torch.from_numpy(ROWS))
    write_pt(tmp_path / "clam" / "pt_files" / "s1.pt", torch.from_numpy(ROWS))
    trident = write_trident(tmp_path / "trident")
    assert find_feature_files(own.parent) == {"s1": own}
    assert find_feature_files(tmp_path / "clam") == {"s1": clam, "s2": only}
    assert find_feature_files(only.parent)["s2"] == only
    for folder in (trident.parent, trident.parent.parent, tmp_path / "trident"):
        assert find_feature_files(folder) == {"s1": trident}


def test_find_feature_files_refuse_what_is_not_one_set(tmp_path, own, write_h5, write_trident, write_pt):
    with pytest.raises(DataError, match="no such folder"):
        find_feature_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no feature file"):
        find_feature_files(tmp_path / "empty")
    write_pt(own.with_suffix(".pt"), torch.from_numpy(ROWS))
    with pytest.raises(DataError, match=r"s1\.h5 and s1\.pt are of one slide"):
        find_feature_files(own.parent)
    trident = write_trident(tmp_path / "trident")
    write_h5(trident.parent.parent / "features_conch" / "s1.h5")
    with pytest.raises(DataError, match=r"several sets of features .*features_conch.*features_uni_v1"):
        find_feature_files(tmp_path / "trident")
