"""Scores of a fold do not depend on whether its arrays are whole in memory, and are those of whole sections."""

from dataclasses import replace

import numpy as np
import pytest

from hage_transfer.compare.genes import gene_table, highly_expressed
from hage_transfer.pretrain import made_rows
from hage_transfer.pretrain.baselines import spot_depth
from hage_transfer.pretrain.calibration import fit_lines
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.evaluate import MethodPredictions, _score, mean_of
from hage_transfer.pretrain.made_rows import MadeRows, evenly_drawn, in_parts
from hage_transfer.pretrain.ridges import PLAIN, RIDGES, Fits
from tests.pretrain.test_baselines import TEST, TRAIN


@pytest.fixture
def large(monkeypatch):
    """Arrays of 20 entries are large."""
    monkeypatch.setattr(made_rows, "ENTRIES", 20)


@pytest.mark.parametrize("at_a_time", [5, 35, 10_000])
def test_scores_in_parts_are_those_of_the_whole_section(monkeypatch, at_a_time):
    monkeypatch.setattr(made_rows.in_parts, "__kwdefaults__", {"most": at_a_time})
    offset = (1000 + TEST.target).astype(np.float32)  # a mean that is large beside the spread
    offset[:, 2] = 1000
    test = replace(TEST, target=offset)
    data = FoldData.__new__(FoldData)
    for name, value in {"test": test, "train": TRAIN, "fold": type("Fold", (), {"name": "A"})()}.items():
        object.__setattr__(data, name, value)
    predicted = np.random.default_rng(0).normal(size=TEST.target.shape).astype(np.float32) + TEST.target
    found = {r.metric: r.value for r in _score(MethodPredictions("x", None, predicted), data, heg_from="test")}
    wanted = gene_table(predicted, offset, highly_expressed(offset.mean(0)))
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("at_a_time", [5, 35, 10_000])
def test_lines_in_parts_are_least_squares(monkeypatch, at_a_time):
    monkeypatch.setattr(made_rows.in_parts, "__kwdefaults__", {"most": at_a_time})
    predicted = TRAIN.target + np.random.default_rng(0).normal(size=TRAIN.target.shape).astype(np.float32)
    slope, intercept = fit_lines(predicted, TRAIN.target)
    for gene in range(TRAIN.target.shape[1]):
        wanted = np.polyfit(predicted[:, gene].astype(np.float64), TRAIN.target[:, gene].astype(np.float64), 1)
        np.testing.assert_allclose([slope[gene], intercept[gene]], wanted, rtol=1e-9, atol=1e-12)


def test_predictions_of_very_many_spots_are_made_by_rows_and_the_same(large, monkeypatch):
    rows = np.array([3, 17, 4])
    by_rows = [spot_depth(TRAIN, TEST), mean_of([TEST.target, TEST.counts])]
    assert all(isinstance(one, MadeRows) for one in by_rows)
    found = [one[rows] for one in by_rows]
    monkeypatch.setattr(made_rows, "ENTRIES", 2**25)
    whole = [spot_depth(TRAIN, TEST), mean_of([TEST.target, TEST.counts])]
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one, other[rows])


@pytest.mark.parametrize("name", ["ridge", *RIDGES])
def test_ridges_of_very_many_spots_choose_on_some_and_predict_all(large, name):
    found = (RIDGES | {"ridge": PLAIN})[name].predict(Fits(TRAIN, TEST, unit="section")).test
    assert found.shape == TEST.target.shape
    assert np.isfinite(np.asarray(found[np.arange(30)])).all()


def test_columns_that_are_one_number_are_found_in_parts(monkeypatch):
    monkeypatch.setattr(made_rows.in_parts, "__kwdefaults__", {"most": 6})
    values = np.array([[1.0, 2, 5], [1, 2, 5], [1, 3, 5], [1, 2, 4]])
    assert made_rows.constant_columns(values).tolist() == [True, False, False]


def test_rows_are_drawn_evenly_where_they_are_many(large):
    assert evenly_drawn(4, 5).tolist() == [0, 1, 2, 3]
    assert evenly_drawn(100, 5).tolist() == [0, 33, 66, 99]
    assert len(evenly_drawn(100, 5, arrays=8)) == 32
    assert [part.tolist() for part in in_parts(np.arange(5), 3, most=7)] == [[0, 1], [2, 3], [4]]
