"""Draws of few labels: whole groups or rows, every class, the same for every source."""

import numpy as np
import pytest

from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import ConfigError
from hage_transfer.probes.config import LearningCurveSettings, ProbeSplitSettings
from hage_transfer.probes.folds import probe_folds
from hage_transfer.probes.label_draws import label_draws


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(40, size=2000))
    classes = np.array(["a", "b", "c"])[np.minimum(rng.integers(12, size=2000), 2)]
    return LabelTable(keys=np.arange(2000).astype(str), labels=classes, groups=np.array([f"g{k}" for k in groups]))


@pytest.fixture
def folds(labels):
    return probe_folds(ProbeSplitSettings(folds=4), labels)


@pytest.mark.parametrize("unit", ["group", "row"])
def test_label_draws_stay_in_the_folds_training_rows_with_every_class(labels, folds, unit):
    settings = LearningCurveSettings(shares=(0.005, 0.1), draws=3, unit=unit)
    draws = label_draws(settings, folds, labels)
    assert len(draws) == 4 + 2 * 3 * 4
    for draw in draws:
        assert np.isin(draw.rows, folds[draw.fold].train).all()
        assert set(labels.labels[draw.rows]) == {"a", "b", "c"}
        assert (np.diff(draw.rows) > 0).all()


def test_label_draws_of_groups_take_them_whole(labels, folds):
    settings = LearningCurveSettings(shares=(0.1,), draws=5, unit="group")
    for draw in label_draws(settings, folds, labels)[4:]:
        train = folds[draw.fold].train
        chosen = set(labels.groups[draw.rows])
        assert len(draw.rows) == np.isin(labels.groups[train], list(chosen)).sum()
        assert len(chosen) < 8


def test_label_draws_of_rows_give_each_class_its_share(labels, folds):
    draw = label_draws(LearningCurveSettings(shares=(0.2,), draws=1, unit="row"), folds, labels)[4]
    for name in "abc":
        whole = (labels.labels[folds[0].train] == name).sum()
        assert (labels.labels[draw.rows] == name).sum() == max(round(0.2 * whole), 1)


def test_label_draws_of_so_many_a_class_give_each_class_that_many_or_say_which_has_fewer(labels, folds):
    draws = label_draws(LearningCurveSettings(per_class=(1, 5), draws=2), folds, labels)[4:]
    assert [draw.amount for draw in draws] == ["1 a class"] * 8 + ["5 a class"] * 8
    for draw in draws:
        assert np.isin(draw.rows, folds[draw.fold].train).all()
        assert [int((labels.labels[draw.rows] == name).sum()) for name in "abc"] == [int(draw.amount[0])] * 3
    with pytest.raises(ConfigError, match=r"per_class 500: fold \d trains on \d+ rows of class a"):
        label_draws(LearningCurveSettings(per_class=(500,)), folds, labels)


def test_label_draws_differ_from_draw_to_draw_and_repeat_with_the_seed(labels, folds):
    settings = LearningCurveSettings(shares=(0.1,), draws=2, unit="row")
    one, again = (label_draws(settings, folds, labels) for _ in range(2))
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[4].rows, one[8].rows)


def test_label_draws_begin_with_all_labels(labels, folds):
    draws = label_draws(LearningCurveSettings(), folds, labels)
    assert [draw.amount for draw in draws] == ["all"] * 4
    assert all(np.array_equal(draw.rows, fold.train) for draw, fold in zip(draws, folds, strict=True))
