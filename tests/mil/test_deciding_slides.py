"""Genes over slides: slides, counted by patient, are the units."""

import numpy as np
import pytest

from hage_transfer.errors import DataError
from hage_transfer.mil.deciding_slides import consistent_genes


def effects(n_slides, n_genes=40, seed=0):
    return np.clip(np.random.default_rng(seed).normal(0, 0.3, (n_slides, n_genes)), -1, 1)


def test_a_gene_planted_in_every_slide_is_found_and_no_other():
    values = effects(20)
    values[:, 3] = np.clip(values[:, 3] + 0.6, -1, 1)
    found = consistent_genes(values, range(20))
    assert found.q_value[3] < 0.05
    assert (np.delete(found.q_value, 3) < 0.05).sum() == 0
    assert found.low[3] > 0
    assert found.agreement[3] > 0.8
    assert found.reason == ""


def test_p_values_are_even_where_there_is_nothing():
    p = np.concatenate([consistent_genes(effects(10, seed=seed), range(10)).p_value for seed in range(25)])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.025)


def test_slides_of_one_patient_do_not_count_as_several():
    values = effects(8)
    once, fourfold = (
        consistent_genes(values, range(8)),
        consistent_genes(np.repeat(values, 4, axis=0), np.repeat(range(8), 4)),
    )
    np.testing.assert_allclose(fourfold.p_value, once.p_value)
    np.testing.assert_allclose(fourfold.high - fourfold.low, once.high - once.low, rtol=1e-9)
    assert (fourfold.n_slides, fourfold.n_groups) == (32, 8)


@pytest.mark.parametrize("n_groups", [3, 6, 10])
def test_the_interval_covers_the_truth_as_often_as_it_says(n_groups):
    values = np.random.default_rng(n_groups).normal(0.1, 0.2, (2 * n_groups, 4000))
    found = consistent_genes(values, np.arange(2 * n_groups) // 2)
    assert ((found.low <= 0.1) & (found.high >= 0.1)).mean() == pytest.approx(0.95, abs=0.012)


def test_effect_interval_and_test_are_of_patients():
    values = effects(6)
    groups = np.array([0, 0, 0, 1, 2, 3])
    means = np.stack([values[groups == group].mean(0) for group in range(4)])
    np.testing.assert_allclose(consistent_genes(values, groups).mean, means.mean(0))


@pytest.mark.parametrize(
    ("n_groups", "reason", "interval"),
    [
        (2, "no interval below 3 groups; no test below 6 groups (there are 2)", False),
        (5, "no test below 6 groups (there are 5)", True),
    ],
)
def test_few_patients_give_a_reason_in_place_of_numbers(n_groups, reason, interval):
    found = consistent_genes(effects(10), np.arange(10) % n_groups)
    assert found.reason == reason
    assert np.isfinite(found.low).all() == interval
    assert np.isnan(found.p_value).all()
    assert np.isnan(found.q_value).all()
    assert np.isfinite(found.mean).all()


def test_one_group_a_slide_is_wanted():
    with pytest.raises(DataError, match="met 3 slides and 2 groups"):
        consistent_genes(effects(3), [0, 1])
