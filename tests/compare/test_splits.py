"""Folds: every row tested once, no group on two sides, and a refusal where that cannot be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.compare.splits import (
    check_disjoint,
    classification_folds,
    table_folds,
    train_validation,
    write_split,
)
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import SplitError


def grouped(n_groups=12, per_group=5):
    """Rows of groups that hold both classes."""
    groups = np.repeat([f"p{i}" for i in range(n_groups)], per_group)
    labels = np.where(np.arange(len(groups)) % 3 == 0, "tumour", "benign")
    return labels, groups


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_folds=st.integers(2, 6))
def test_classification_folds_test_every_row_once(seed, n_folds):
    labels, groups = grouped()
    for given_groups in (None, groups):
        folds = classification_folds(labels, given_groups, n_folds=n_folds, seed=seed)
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(labels)))
        assert all(len(np.union1d(fold.train, fold.test)) == len(labels) for fold in folds)
        assert not any(np.intersect1d(fold.train, fold.test).size for fold in folds)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_folds=st.integers(2, 6))
def test_classification_folds_keep_groups_whole(seed, n_folds):
    labels, groups = grouped()
    for fold in classification_folds(labels, groups, n_folds=n_folds, seed=seed):
        assert not set(groups[fold.train]) & set(groups[fold.test])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(20, 60))
def test_classification_folds_hold_every_class(seed, n_rows):
    labels = np.array(["rare"] * 5 + ["common"] * n_rows)
    for fold in classification_folds(labels, None, n_folds=5, seed=seed):
        assert set(labels[fold.test]) == set(labels[fold.train]) == {"rare", "common"}


def test_classification_folds_depend_on_the_seed_alone():
    labels, groups = grouped()
    one, same, other = (classification_folds(labels, groups, n_folds=4, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("labels", "groups", "n_folds", "message"),
    [
        (["a"] * 10, None, 2, "needs two classes, all 10 rows are of class a"),
        (["a"] * 10 + ["b"] * 3, None, 5, "b has 3; at most 3 folds"),
        (["a", "b"] * 4, ["p", "p", "q", "q", "r", "r", "s", "s"], 5, "need 5 groups, there are 4"),
        (["a", "b", "a", "a", "a", "b"], ["p", "p", "q", "r", "s", "t"], 3, "class b is in 2 of 5 groups"),
    ],
)
def test_classification_folds_refuse_what_cannot_be_filled(labels, groups, n_folds, message):
    with pytest.raises(SplitError, match=message):
        classification_folds(np.array(labels), None if groups is None else np.array(groups), n_folds=n_folds, seed=0)


def test_table_folds_refuse_groups_that_are_not_there():
    table = LabelTable(keys=np.array(["x", "y"]), labels=np.array(["a", "b"]), groups=None)
    with pytest.raises(SplitError, match="labels have no groups"):
        table_folds(table, n_folds=2, by_group=True, seed=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.4))
def test_train_validation_divides_rows_and_keeps_groups_whole(seed, share):
    labels, groups = grouped()
    for given_groups in (None, groups):
        train, validation = train_validation(labels, given_groups, share=share, seed=seed)
        assert sorted([*train, *validation]) == list(range(len(labels)))
        assert set(labels[train]) == set(labels[validation]) == {"tumour", "benign"}
    assert not set(groups[train]) & set(groups[validation])


def test_train_validation_meets_its_share():
    labels = np.repeat(["a", "b"], [80, 40])
    _, validation = train_validation(labels, None, share=0.25, seed=0)
    assert [(labels[validation] == name).sum() for name in ("a", "b")] == [20, 10]


def test_train_validation_refuses_a_class_in_one_group():
    labels, groups = np.array(["a", "a", "b", "b"]), np.array(["p", "q", "r", "r"])
    with pytest.raises(SplitError, match="class b has one group to train on"):
        train_validation(labels, groups, share=0.3, seed=0)


def test_check_disjoint_names_the_groups():
    groups = np.array(["p1", "p1", "p2", "p3"])
    check_disjoint({"train": np.array([0, 1]), "test": np.array([2, 3])}, groups)
    with pytest.raises(SplitError, match="1 groups are in both train and test: p1"):
        check_disjoint({"train": np.array([0, 2]), "test": np.array([1, 3])}, groups)


def test_write_split_has_clams_form(tmp_path):
    write_split(tmp_path / "splits_0.csv", train=["a", "b"], validation=[], test=["c"])
    assert (tmp_path / "splits_0.csv").read_text().splitlines() == [",train,val,test", "0,a,,c", "1,b,,"]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.6, 0.9])
def test_train_validation_by_group_meets_its_share(share):
    labels = np.array(["a", "b"])[np.arange(200) % 2]
    _, validation = train_validation(labels, np.arange(200) // 2, share=share, seed=0)
    assert len(validation) / 200 == pytest.approx(share, abs=0.051)


def test_train_validation_takes_few_rows_of_each_class():
    labels = np.array(["a", "b"])[np.arange(12) % 2]
    train, validation = train_validation(labels, np.arange(12), share=0.125, seed=0)
    assert set(labels[train]) == set(labels[validation]) == {"a", "b"}
