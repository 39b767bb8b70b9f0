"""Folds of slides: sites and patients on one side, draws, and split files with what is refused in them."""

from dataclasses import replace

import numpy as np
import pytest

from hage_transfer.compare.splits import write_split
from hage_transfer.data.labels import LabelTable, read_labels
from hage_transfer.data.published_table import Columns, write_label_table
from hage_transfer.errors import SplitError
from hage_transfer.mil.config import MilConfig, MilSplitSettings
from hage_transfer.mil.folds import mil_folds


def config(validation=0.2, **split):
    return MilConfig.model_validate(
        {
            "data": {"layout": "features", "labels": "labels.csv"},
            "split": {"folds": 3, **split},
            "train": {"validation": validation},
        }
    )


def labels(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return LabelTable(
        keys=np.array([f"s{i}" for i in range(n)]),
        labels=np.array(["x", "y"])[rng.integers(0, 2, n)],
        groups=np.array([f"p{i // 2}" for i in range(n)]),
        key_column="slide",
        sites=np.array([f"site{i // 4 % 7}" for i in range(n)]),
    )


def sides(fold):
    return fold.train, fold.validation, fold.test


@pytest.mark.parametrize("seed", range(5))
def test_mil_folds_by_site_keep_sites_and_patients_on_one_side(seed):
    table = labels(seed=seed)
    folds = mil_folds(config(mode="site", seed=seed), table)
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(60))
    for fold in folds:
        for values in (table.sites, table.groups):
            assert sum(len(set(values[rows])) for rows in sides(fold)) == len(set(values))


def test_mil_folds_by_site_join_sites_that_share_a_patient():
    table = labels()
    table.groups[:8] = "two"
    for fold in mil_folds(config(mode="site"), table):
        assert sum("two" in table.groups[rows] for rows in sides(fold)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_mil_folds_monte_carlo_draws_overlap_and_leak_no_patient(seed):
    table = labels()
    folds = mil_folds(config(mode="monte_carlo", folds=6, test_share=0.3, seed=seed), table)
    assert len(np.unique(np.concatenate([fold.test for fold in folds]))) < sum(len(fold.test) for fold in folds)
    assert len({fold.test.tobytes() for fold in folds}) > 1
    for fold in folds:
        assert sum(len(set(table.groups[rows])) for rows in sides(fold)) == len(set(table.groups))


def write(folder, train, validation, test):
    folder.mkdir(exist_ok=True)
    write_split(folder / "splits_0.csv", train=train, validation=validation, test=test)
    return folder


def test_mil_folds_of_files_are_those_of_the_files(tmp_path):
    table = labels()
    folder = write(tmp_path / "splits", [f"s{i}" for i in range(40)], ["s40", "s41"], [f"s{i}" for i in range(42, 60)])
    (fold,) = mil_folds(config(mode="files", files=folder), table)
    assert [len(rows) for rows in sides(fold)] == [40, 2, 18]
    (fold,) = mil_folds(config(mode="files", files=folder, validation=0), table)
    assert [len(rows) for rows in sides(fold)] == [42, 0, 18]


@pytest.mark.parametrize(
    ("train", "test", "options", "message"),
    [
        (
            range(40),
            [*range(42, 60), 99],
            {},
            r"names 1 slides that the label table does not have \(s99; nearest there to s99: s\d+\)",
        ),
        (range(41), range(41, 60), {}, r"1 groups are in both train and test \(p20\)"),
        (range(42), range(41, 60), {}, r"1 slides are in both train and test \(s41\)"),
        (range(42), range(41, 60), {"shared_groups": "keep"}, "1 slides are in both"),
    ],
)
def test_mil_folds_of_files_refuse_with_one_message(tmp_path, train, test, options, message):
    folder = write(tmp_path / "splits", [f"s{i}" for i in train], [], [f"s{i}" for i in test])
    with pytest.raises(SplitError, match=message):
        mil_folds(config(mode="files", files=folder, **options), labels())


def test_mil_folds_of_files_refuse_a_side_without_a_class(tmp_path):
    table = labels()
    of_x = [key for key, name in zip(table.keys, table.labels, strict=True) if name == "x"]
    of_y = [key for key, name in zip(table.keys, table.labels, strict=True) if name == "y"]
    folder = write(tmp_path / "splits", [*of_x[4:], *of_y], [], of_x[:4])
    with pytest.raises(SplitError, match="the test side has no slide of class y"):
        mil_folds(config(mode="files", files=folder, by_group=False), table)


def test_mil_folds_of_files_go_on_without_unknown_slides_where_told(tmp_path, caplog):
    folder = write(tmp_path / "splits", [f"s{i}" for i in range(40)], ["s99", "s40"], [f"s{i}" for i in range(41, 60)])
    chosen = config(mode="files", files=folder, unknown_slides="drop", shared_groups="keep")
    (fold,) = mil_folds(chosen, labels())
    assert [len(rows) for rows in sides(fold)] == [40, 1, 19]
    assert "the val side has no slide of class" in caplog.text
    assert "names 1 slides that the label table does not have" in caplog.text
    assert "their test slides are not new to the classifier" in caplog.text
    assert "on no side" not in caplog.text


def test_mil_folds_of_files_tell_slides_that_are_on_no_side(tmp_path, caplog):
    folder = write(tmp_path / "splits", [f"s{i}" for i in range(36)], ["s40", "s41"], [f"s{i}" for i in range(44, 60)])
    mil_folds(config(mode="files", files=folder, shared_groups="keep"), labels())
    assert "6 of 60 labelled slides are on no side (s36, s37, s38 and 3 more)" in caplog.text


def test_mil_folds_build_from_the_real_split_files(real_data, tmp_path):
    columns = Columns("slide_id", "oncotree_code", "case_id", "site")
    write_label_table(
        real_data / "tcga_brca" / "tcga_brca_subset.csv.zip", tmp_path / "l.csv", columns, keep=["IDC", "ILC"]
    )
    table = read_labels(tmp_path / "l.csv")
    files = real_data / "tcga_brca" / "splits"
    with pytest.raises(SplitError, match="names 166 slides that the label table does not have"):
        mil_folds(config(mode="files", files=files), table)
    with pytest.raises(SplitError, match=r"splits_0\.csv: 4 groups are in both train and val"):
        mil_folds(config(mode="files", files=files, unknown_slides="drop"), table)
    kept = mil_folds(config(mode="files", files=files, unknown_slides="drop", shared_groups="keep"), table)
    assert len(kept) == 10
    assert all(sum(map(len, sides(fold))) == 875 for fold in kept)
    by_site = mil_folds(config(mode="site", folds=5), table)
    for fold in by_site:
        assert not set(table.sites[fold.test]) & set(table.sites[np.concatenate([fold.train, fold.validation])])
    own = mil_folds(config(folds=5), table)
    assert sorted(np.concatenate([fold.test for fold in own]).tolist()) == list(range(875))


def test_mil_folds_of_files_without_validation_slides_are_refused(tmp_path):
    folder = write(tmp_path / "splits", [f"s{i}" for i in range(40)], [], [f"s{i}" for i in range(40, 60)])
    with pytest.raises(SplitError, match=r"the val side names no slide.*set train\.validation=0"):
        mil_folds(config(mode="files", files=folder, shared_groups="keep"), labels())


def test_mil_folds_of_files_by_group_want_groups(tmp_path):
    folder = write(tmp_path / "splits", ["s0"], ["s1"], ["s2"])
    with pytest.raises(SplitError, match="the labels have no groups"):
        mil_folds(config(mode="files", files=folder), replace(labels(), groups=None))


def test_mil_folds_with_a_class_of_two_patients_say_that_none_is_left_to_validate():
    table = labels(12)
    classes = np.where(np.arange(12) < 2, "y", "x")
    classes[5] = "y"  # patients p0 and p2
    with pytest.raises(SplitError, match=r"class y has one group to train on.*train\.validation=0"):
        mil_folds(config(folds=2), replace(table, labels=classes))
    assert len(mil_folds(config(folds=2, validation=0), replace(table, labels=classes))) == 2


def test_mil_folds_by_site_of_too_few_sites_speak_of_sites():
    table = labels()
    with pytest.raises(SplitError, match="no number of folds will do") as caught:
        mil_folds(
            config(mode="site", by_group=False), replace(table, sites=np.where(table.labels == "y", "A", table.sites))
        )
    assert "split.mode=folds" in caught.value.__notes__[0]


def test_mil_folds_repeat_with_other_shuffles_and_keep_the_first():
    table = labels()
    once, twice = mil_folds(config(folds=3), table), mil_folds(config(folds=3, repeats=2), table)
    assert [fold.name for fold in twice] == [str(k) for k in range(6)]
    for one, other in zip(once, twice, strict=False):
        np.testing.assert_array_equal(one.test, other.test)
    assert not all(np.array_equal(twice[k].test, twice[k + 3].test) for k in range(3))
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in twice[3:]])), np.arange(len(table)))


def test_draws_are_not_repeated():
    with pytest.raises(ValueError, match="repeats folds"):
        MilSplitSettings(mode="monte_carlo", repeats=2)
