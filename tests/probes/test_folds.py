"""Folds of probes: official splits, and a refusal where a group is on two sides."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError, SplitError
from hage_transfer.probes.config import ProbeSplitSettings
from hage_transfer.probes.folds import probe_folds

OFFICIAL = ProbeSplitSettings(mode="official")


@pytest.fixture
def pcam():
    """Six slides of five patches, two a part."""
    parts = np.repeat(["train", "valid", "test"], 10)
    keys = np.array([f"{part}/{row}" for row, part in enumerate(parts)])
    groups = np.repeat([f"slide_{k}" for k in range(6)], 5)
    return LabelTable(keys=keys, labels=np.array(["0", "1"])[np.arange(30) % 2], groups=groups)


def test_official_folds_are_the_parts_that_begin_the_keys(pcam):
    (fold,) = probe_folds(OFFICIAL, pcam)
    assert [rows.tolist() for rows in (fold.train, fold.validation, fold.test)] == [
        list(range(10)),
        list(range(10, 20)),
        list(range(20, 30)),
    ]


def test_official_folds_refuse_a_slide_on_two_sides_and_name_it(pcam):
    groups = pcam.groups.copy()
    groups[25] = "slide_1"
    with pytest.raises(SplitError, match=r"1 groups are in both train and test: slide_1; keep each on one side"):
        probe_folds(OFFICIAL, replace(pcam, groups=groups))


def test_official_folds_refuse_a_slide_in_train_and_valid(pcam):
    groups = pcam.groups.copy()
    groups[12] = "slide_0"
    with pytest.raises(SplitError, match=r"both train and valid: slide_0"):
        probe_folds(OFFICIAL, replace(pcam, groups=groups))


def test_official_folds_without_groups_cannot_be_checked(pcam):
    with pytest.raises(SplitError, match="cannot be checked for leaks"):
        probe_folds(OFFICIAL, replace(pcam, groups=None))
    unchecked = ProbeSplitSettings(mode="official", by_group=False)
    assert len(probe_folds(unchecked, replace(pcam, groups=None))) == 1


def test_official_folds_name_a_key_of_no_part(pcam):
    keys = pcam.keys.astype("U20")
    keys[3] = "tiles/3.png"
    with pytest.raises(SplitError, match=r"key tiles/3\.png does not begin with train/"):
        probe_folds(OFFICIAL, replace(pcam, keys=keys))


def test_official_folds_take_parts_from_a_manifest(pcam, tmp_path):
    table = tmp_path / "manifest.csv"
    names = np.repeat(["Train", "Validation", "Test"], 10)
    lines = [f"{key},{part}" for key, part in zip(pcam.keys[::-1], names, strict=True)]
    table.write_text("\n".join(["path,part", *lines]))
    (fold,) = probe_folds(ProbeSplitSettings(mode="official", parts=table), pcam)
    assert fold.train.tolist() == list(range(20, 30))


def test_official_folds_name_keys_without_a_part(pcam, tmp_path):
    table = tmp_path / "parts.csv"
    table.write_text("key,part\n" + "\n".join(f"{key},train" for key in pcam.keys[1:]))
    with pytest.raises(DataError, match=r"parts\.csv: no part for 1 of 30 labelled keys \(train/0\)"):
        probe_folds(ProbeSplitSettings(mode="official", parts=table), pcam)


def test_official_folds_refuse_a_part_of_another_name(pcam, tmp_path):
    table = tmp_path / "parts.csv"
    table.write_text("key,part\ntrain/0,holdout\n")
    with pytest.raises(DataError, match=r"line 2: part is train, valid or test, not holdout"):
        probe_folds(ProbeSplitSettings(mode="official", parts=table), pcam)


def test_official_folds_name_a_part_without_a_class(pcam):
    labels = pcam.labels.copy()
    labels[20:] = "0"
    with pytest.raises(SplitError, match="test part has no row of class 1"):
        probe_folds(OFFICIAL, replace(pcam, labels=labels))


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(30)), st.integers(0, 5))
def test_folds_by_group_are_the_same_groups_whatever_the_order_of_rows(order, seed):
    groups = np.repeat([f"g{k}" for k in range(10)], 3)
    table = LabelTable(
        keys=np.arange(30).astype(str), labels=np.array(["a", "b", "b"])[np.arange(30) % 3], groups=groups
    )
    order = np.array(order)
    moved = LabelTable(keys=table.keys[order], labels=table.labels[order], groups=table.groups[order])
    split = ProbeSplitSettings(folds=3, seed=seed)
    found = [[set(given.groups[fold.test]) for fold in probe_folds(split, given)] for given in (table, moved)]
    assert found[0] == found[1]


def test_official_folds_refuse_a_table_with_two_columns_of_parts(pcam, tmp_path):
    table = tmp_path / "parts.csv"
    table.write_text("key,part,part\ntrain/0,train,test\n")
    with pytest.raises(DataError, match=r"parts\.csv: column part is there twice; keep one"):
        probe_folds(ProbeSplitSettings(mode="official", parts=table), pcam)


def test_official_folds_refuse_a_key_in_two_parts(pcam, tmp_path):
    table = tmp_path / "parts.csv"
    table.write_text("key,part\na.png,train\n./a.png,test\n")
    with pytest.raises(DataError, match=r"line 3: a\.png is in part test here and in train above; keep one"):
        probe_folds(ProbeSplitSettings(mode="official", parts=table), pcam)


def test_official_folds_take_a_tile_where_its_image_is(pcam, tmp_path):
    table = tmp_path / "parts.csv"
    parts = np.repeat(["train", "valid", "test"], 10)
    table.write_text("path,part\n" + "".join(f"./tiles/{row}.png,{part}\n" for row, part in enumerate(parts)))
    tiles = replace(pcam, keys=np.array([f"tiles/{row}.png#0_96" for row in range(30)]))
    (fold,) = probe_folds(ProbeSplitSettings(mode="official", parts=table), tiles)
    assert fold.test.tolist() == list(range(20, 30))
