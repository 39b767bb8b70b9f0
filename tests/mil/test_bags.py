"""Bags of feature files: what is read, and each thing that is refused."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError
from mil.bags import open_bags


def test_open_bags_follow_the_order_of_the_labels(slides):
    folder, labels = slides
    turned = replace(labels, keys=labels.keys[::-1], labels=labels.labels[::-1])
    bags, other = open_bags(folder, labels), open_bags(folder, turned)
    assert bags.feature_dim == 8
    assert bags.n_tiles.tolist() == other.n_tiles[::-1].tolist()
    np.testing.assert_array_equal(bags.load(0), other.load(len(labels) - 1))


def test_bag_set_reads_the_same_without_memory(slides):
    folder, labels = slides
    kept, anew = open_bags(folder, labels), open_bags(folder, labels, memory_limit_bytes=0)
    for _ in range(2):
        np.testing.assert_array_equal(kept.load(3), anew.load(3))
    assert len(kept._kept) == 1
    assert not anew._kept


def test_bag_set_moments_are_those_of_all_tiles(slides):
    folder, labels = slides
    bags = open_bags(folder, labels)
    rows = np.concatenate([bags.load(bag) for bag in (1, 4, 5)]).astype(np.float64)
    mean, std = bags.moments(np.array([1, 4, 5]))
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(std, rows.std(0), rtol=1e-5)


def test_open_bags_name_labelled_slides_without_a_file(slides):
    folder, labels = slides
    (folder / "s3.h5").unlink()
    (folder / "s7.h5").unlink()
    with pytest.raises(DataError, match=r"2 of 60 labelled slides have no feature file \(first: s3\.h5\)"):
        open_bags(folder, labels)


def test_open_bags_leave_out_files_without_a_label(slides, caplog):
    folder, labels = slides
    few = LabelTable(labels.keys[:4], labels.labels[:4], None, "slide")
    with caplog.at_level("INFO"):
        assert len(open_bags(folder, few)) == 4
    assert "56 feature files have no label" in caplog.text


def test_open_bags_refuse_an_empty_bag(slides):
    folder, labels = slides
    with h5py.File(folder / "s2.h5", "r+") as file:
        del file["features"]
        file.create_dataset("features", data=np.zeros((0, 8), np.float32))
    with pytest.raises(DataError, match=r"s2\.h5: an empty bag"):
        open_bags(folder, labels)


def test_open_bags_refuse_another_width(slides, write_slide):
    folder, labels = slides
    write_slide(folder, "s2", np.ones((3, 9)))
    with pytest.raises(DataError, match=r"s2\.h5: features have width 9, those of s0\.h5 8"):
        open_bags(folder, labels)


@pytest.mark.parametrize("changes", [{"encoder": "uni"}, {"encoder_sha256": "b" * 64}, {"mpp_um_per_px": 0.25}])
def test_open_bags_refuse_files_that_were_encoded_differently(slides, write_slide, changes):
    folder, labels = slides
    write_slide(folder, "s2", np.ones((3, 8)), **changes)
    with pytest.raises(DataError, match=rf"s2\.h5: {next(iter(changes))} is"):
        open_bags(folder, labels)


def test_open_bags_take_slides_whose_own_inputs_differ(slides, write_slide):
    folder, labels = slides
    before = open_bags(folder, labels)
    write_slide(folder, "s2", before.load(2), config_sha256="another image")
    after = open_bags(folder, labels)
    assert after.sha256 != before.sha256


def test_bag_set_refuses_nan_where_it_is_read(slides):
    folder, labels = slides
    with h5py.File(folder / "s2.h5", "r+") as file:
        file["features"][1, 1] = np.nan
    bags = open_bags(folder, labels)
    with pytest.raises(DataError, match=r"s2\.h5: 1 of \d+ rows hold NaN"):
        bags.load(2)


def test_open_bags_name_a_missing_folder(slides, tmp_path):
    with pytest.raises(DataError, match="no such folder of feature files"):
        open_bags(tmp_path / "nowhere", slides[1])


def test_open_bags_refuse_a_file_that_is_no_feature_file(slides):
    folder, labels = slides
    (folder / "s0.h5").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"s0\.h5: cannot be read as h5"):
        open_bags(folder, labels)
