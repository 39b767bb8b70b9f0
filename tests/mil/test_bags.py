"""Bags of feature files: what is read, and each thing that is refused."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from hage_transfer.data.feature_layouts import TridentGrid, open_features, write_layout
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.scaling import fold_moments


def test_open_bags_follow_the_order_of_the_labels(some_slides):
    folder, labels = some_slides
    turned = replace(labels, keys=labels.keys[::-1], labels=labels.labels[::-1])
    bags, other = open_bags(folder, labels), open_bags(folder, turned)
    assert bags.feature_dim == 8
    assert bags.n_tiles.tolist() == other.n_tiles[::-1].tolist()
    np.testing.assert_array_equal(bags.load(0), other.load(len(labels) - 1))


def test_bag_set_reads_the_same_without_memory(some_slides):
    folder, labels = some_slides
    kept, anew = open_bags(folder, labels), open_bags(folder, labels, memory_limit_bytes=0)
    for _ in range(2):
        np.testing.assert_array_equal(kept.load(3), anew.load(3))
    assert len(kept._kept) == 1
    assert not anew._kept


def test_fold_moments_are_those_of_each_folds_training_tiles(some_slides):
    folder, labels = some_slides
    bags = open_bags(folder, labels)
    chosen = [(1, 4, 5), (4, 9)]
    training = np.zeros((2, len(bags)), dtype=bool)
    for fold, some in enumerate(chosen):
        training[fold, list(some)] = True
    mean, std = fold_moments(bags, training)
    for fold, some in enumerate(chosen):
        rows = np.concatenate([bags.load(bag) for bag in some]).astype(np.float64)
        np.testing.assert_allclose(mean[fold], rows.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(std[fold], rows.std(0), rtol=1e-5)


def test_open_bags_side_by_side_have_the_columns_of_both(some_slides, write_slide, tmp_path):
    folder, labels = some_slides
    one = open_bags(folder, labels)
    for bag, slide in enumerate(one.slides):
        write_slide(tmp_path / "other", slide, 2 * one.load(bag)[:, :3], encoder="hage:trial_0")
    both = open_bags((folder, tmp_path / "other"), labels)
    assert both.feature_dim == 11
    assert both.meta.encoder == "embedded + hage:trial_0"
    np.testing.assert_array_equal(both.load(5), np.concatenate([one.load(5), 2 * one.load(5)[:, :3]], axis=1))
    write_slide(tmp_path / "other", "s5", np.ones((3, 3)), encoder="hage:trial_0")
    with pytest.raises(DataError, match=r"s5\.h5: has 3 tiles, .*s5\.h5 has"):
        open_bags((folder, tmp_path / "other"), labels)


def test_bag_set_refuses_other_tiles_side_by_side(some_slides, write_slide, tmp_path):
    folder, labels = some_slides
    one = open_bags(folder, labels)
    for bag, slide in enumerate(one.slides):
        write_slide(tmp_path / "other", slide, one.load(bag))
    with h5py.File(tmp_path / "other" / "s5.h5", "r+") as file:
        file["coords"][0] = [7, 7]
    with pytest.raises(DataError, match="its tiles are not those of"):
        open_bags((folder, tmp_path / "other"), labels).load(5)


def test_open_bags_name_labelled_slides_without_a_file(some_slides):
    folder, labels = some_slides
    (folder / "s3.h5").unlink()
    (folder / "s7.h5").unlink()
    with pytest.raises(
        DataError, match=r"2 of 12 labelled slides have no feature file \(first: s3; nearest there: s\d+\.h5\)"
    ):
        open_bags(folder, labels)


def test_open_bags_leave_out_files_without_a_label(some_slides, caplog):
    folder, labels = some_slides
    few = LabelTable(keys=labels.keys[:4], labels=labels.labels[:4], groups=None, key_column="slide")
    with caplog.at_level("INFO"):
        assert len(open_bags(folder, few)) == 4
    assert "8 feature files have no label" in caplog.text


def test_open_bags_refuse_an_empty_bag(some_slides):
    folder, labels = some_slides
    with h5py.File(folder / "s2.h5", "r+") as file:
        del file["features"]
        file.create_dataset("features", data=np.zeros((0, 8), np.float32))
    with pytest.raises(DataError, match=r"s2\.h5: an empty bag"):
        open_bags(folder, labels)


def test_open_bags_refuse_another_width(some_slides, write_slide):
    folder, labels = some_slides
    write_slide(folder, "s2", np.ones((3, 9)))
    with pytest.raises(DataError, match=r"s2\.h5: features have width 9, those of s0\.h5 8"):
        open_bags(folder, labels)


SCALED = {"mpp_um_per_px": 0.25, "patch_size_level0_px": 448}


@pytest.mark.parametrize("changes", [{"encoder": "uni"}, {"encoder_sha256": "b" * 64}, {"views": 8}, SCALED])
def test_open_bags_refuse_files_that_were_encoded_differently(some_slides, write_slide, changes):
    folder, labels = some_slides
    write_slide(folder, "s2", np.ones((3, 8)), **changes)
    with pytest.raises(DataError, match=rf"s2\.h5: {next(iter(changes))} is"):
        open_bags(folder, labels)


def test_open_bags_take_slides_whose_own_inputs_differ(some_slides, write_slide):
    folder, labels = some_slides
    before = open_bags(folder, labels)
    write_slide(folder, "s2", before.load(2), config_sha256="another image")
    after = open_bags(folder, labels)
    assert after.sha256 != before.sha256


def test_bag_set_refuses_nan_where_it_is_read(some_slides):
    folder, labels = some_slides
    with h5py.File(folder / "s2.h5", "r+") as file:
        file["features"][1, 1] = np.nan
    bags = open_bags(folder, labels)
    with pytest.raises(DataError, match=r"s2\.h5: 1 of \d+ rows hold NaN"):
        bags.load(2)


def test_open_bags_name_a_missing_folder(some_slides, tmp_path):
    with pytest.raises(DataError, match="no such folder of feature files"):
        open_bags(tmp_path / "nowhere", some_slides[1])


def test_open_bags_refuse_a_file_that_is_no_feature_file(some_slides):
    folder, labels = some_slides
    (folder / "s0.h5").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"s0\.h5: cannot be read as h5"):
        open_bags(folder, labels)


def _as_clam(folder, out):
    """The folder's slides as CLAM writes them: features and coords, no attribute, and the same rows as tensors."""
    for name in ("h5_files", "pt_files"):
        (out / name).mkdir(parents=True)
    for path in folder.glob("*.h5"):
        features = open_features(path).read()
        with h5py.File(out / "h5_files" / path.name, "w") as file:
            file["features"], file["coords"] = features.features, features.coords.astype(np.int32)
        torch.save(torch.from_numpy(features.features), out / "pt_files" / f"{path.stem}.pt")
    return out


def _same_bags(left, right):
    assert left.slides == right.slides
    assert left.n_tiles.tolist() == right.n_tiles.tolist()
    for bag in range(len(left)):
        np.testing.assert_array_equal(left.load(bag), right.load(bag))


@pytest.mark.parametrize("inside", ["", "h5_files", "pt_files"])
def test_open_bags_read_clams_folders(some_slides, tmp_path, inside):
    folder, labels = some_slides
    clam = _as_clam(folder, tmp_path / "clam")
    _same_bags(open_bags(clam / inside, labels), open_bags(folder, labels))


def test_open_bags_read_tridents_folders(some_slides, tmp_path):
    folder, labels = some_slides
    grid = TridentGrid(target_magnification=20, overlap=0)
    for path in folder.glob("*.h5"):
        write_layout(open_features(path), "trident", tmp_path / "job", grid=grid)
    _same_bags(open_bags(tmp_path / "job", labels), open_bags(folder, labels))


def test_open_bags_say_that_an_encoder_is_not_recorded(some_slides, tmp_path, caplog):
    folder, labels = some_slides
    meta = open_bags(_as_clam(folder, tmp_path / "clam"), labels).meta
    assert meta.encoder == "unknown"
    assert "do not record encoder, encoder_licence" in caplog.text
    caplog.clear()
    open_bags(folder, labels)
    assert "do not record" not in caplog.text


def test_open_bags_say_nothing_where_told(some_slides, tmp_path, caplog):
    folder, labels = some_slides
    some = replace(labels, keys=labels.keys[2:], labels=labels.labels[2:], groups=labels.groups[2:])
    with caplog.at_level("INFO", logger="hage_transfer.mil.bags"):
        open_bags(folder, some, quiet=True)
    assert not caplog.records
    with caplog.at_level("INFO", logger="hage_transfer.mil.bags"):
        open_bags(folder, some)
    assert len(caplog.records) == 1


def test_open_bags_refuse_foreign_files_among_own(some_slides, tmp_path):
    folder, labels = some_slides
    clam = _as_clam(folder, tmp_path / "clam")
    (folder / "s2.h5").write_bytes((clam / "h5_files" / "s2.h5").read_bytes())
    with pytest.raises(DataError, match=r"s2\.h5: encoder is unknown, that of s0\.h5 is embedded"):
        open_bags(folder, labels)


def test_open_bags_refuse_two_files_of_one_slide(some_slides):
    folder, labels = some_slides
    torch.save(torch.ones(3, 8), folder / "s2.pt")
    with pytest.raises(DataError, match=r"s2\.h5 and s2\.pt are of one slide"):
        open_bags(folder, labels)


@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_bag_set_loads_wanted_tiles_alone(some_slides, limit):
    folder, labels = some_slides
    bags, tiles = open_bags(folder, labels, memory_limit_bytes=limit), np.array([1, 4, 6])
    whole = bags.load(3)
    for _ in range(2):
        np.testing.assert_array_equal(bags.load(3, tiles), whole[tiles])


def test_bag_set_loads_wanted_tiles_side_by_side(some_slides, write_slide, tmp_path):
    folder, labels = some_slides
    one = open_bags(folder, labels)
    for bag, slide in enumerate(labels.keys.tolist()):
        write_slide(tmp_path / "other", slide, 2 * one.load(bag), encoder="hage:trial_0")
    both, tiles = open_bags((folder, tmp_path / "other"), labels, memory_limit_bytes=0), np.array([0, 5])
    whole = both.load(2)
    np.testing.assert_array_equal(both.load(2, tiles), whole[tiles])


def test_bag_set_refuses_nan_that_came_after_it_was_read(some_slides):
    folder, labels = some_slides
    bags = open_bags(folder, labels, memory_limit_bytes=0)
    bags.load(3)
    with h5py.File(folder / "s3.h5", "r+") as file:
        file["features"][4, 1] = np.nan
    with pytest.raises(DataError, match=r"s3\.h5: its rows hold NaN"):
        bags.load(3, np.array([1, 4]))


def test_bag_set_says_what_to_do_where_rows_are_gone_while_it_trains(some_slides):
    folder, labels = some_slides
    bags, tiles = open_bags(folder, labels, memory_limit_bytes=0), np.array([1, 4])
    bags.load(3)
    with h5py.File(folder / "s3.h5", "r+") as file:
        del file["features"]
    with pytest.raises(DataError, match=r"s3\.h5: cannot be read any more \(.*run again once it is there"):
        bags.load(3, tiles)


def test_open_bags_take_level0_tiles_of_slides_scanned_at_other_resolutions(some_slides, write_slide, caplog):
    folder, labels = some_slides
    write_slide(folder, "s2", np.ones((3, 8)), mpp_um_per_px=0.25)
    assert len(open_bags(folder, labels)) == len(labels)
    assert "level-0 px are at 0.25 to" in caplog.text


def _as_trident(folder, job, **of_s2):
    """TRIDENT's own files, of which s2 may say something else."""
    features = job / "20x_224px_0px_overlap" / "features_uni_v1"
    features.mkdir(parents=True)
    for path in folder.glob("*.h5"):
        rows = open_features(path).read()
        with h5py.File(features / path.name, "w") as file:
            file["features"], file["coords"] = rows.features, rows.coords
            file["features"].attrs["encoder"] = "uni_v1"
            recorded = {"patch_size": 224, "patch_size_level0": 224, "target_magnification": 20}
            file["coords"].attrs.update(recorded | (of_s2 if path.stem == "s2" else {}))
    return job


def test_open_bags_take_tridents_tiles_of_slides_scanned_at_other_magnifications(some_slides, tmp_path):
    folder, labels = some_slides
    job = _as_trident(folder, tmp_path / "job", patch_size_level0=448)
    _same_bags(open_bags(job, labels), open_bags(folder, labels))


def test_open_bags_refuse_tridents_tiles_of_two_magnifications(some_slides, tmp_path):
    folder, labels = some_slides
    job = _as_trident(folder, tmp_path / "job", target_magnification=10)
    with pytest.raises(DataError, match=r"s2\.h5: target_magnification is 10, that of s0\.h5 is 20"):
        open_bags(job, labels)


def test_open_bags_say_that_every_slide_has_one_row(some_slides, write_slide, caplog):
    folder, labels = some_slides
    for slide in labels.keys.tolist():
        write_slide(folder, str(slide), np.ones((1, 8)))
    open_bags(folder, labels)
    assert "every slide has one row" in caplog.text
    write_slide(folder, str(labels.keys[0]), np.ones((2, 8)))
    caplog.clear()
    open_bags(folder, labels)
    assert "one row" not in caplog.text


def test_open_bags_say_that_one_slide_has_two_names(some_slides, caplog):
    folder, labels = some_slides
    open_bags(folder, labels)
    assert "same features" not in caplog.text
    shutil.copyfile(folder / "s0.h5", folder / "s5.h5")
    open_bags(folder, labels)
    assert "s0.h5 and s5.h5 hold the same features (1 such pairs)" in caplog.text


def test_one_slide_under_two_names_is_found_though_others_begin_alike(some_slides, write_slide, caplog):
    folder, labels = some_slides
    for slide, n_rows, last in (("s0", 3, 5.0), ("s1", 3, 6.0), ("s2", 4, 7.0), ("s3", 4, 7.0)):
        write_slide(folder, slide, np.vstack([np.ones((n_rows - 1, 8)), np.full((1, 8), last)]))
    open_bags(folder, labels)
    assert "s2.h5 and s3.h5 hold the same features (1 such pairs)" in caplog.text
