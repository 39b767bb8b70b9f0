import math

import numpy as np
import pytest

from hage_transfer.compare.bootstrap import cluster_bootstrap, paired_bootstrap
from hage_transfer.errors import DataError

PATIENTS = ["A", "A", "B", "B", "B", "C", "D"]
VALUES = [0.1, 0.2, 0.4, 0.3, 0.5, 0.25, 0.15]


def test_the_mean_counts_every_unit_once():
    interval = cluster_bootstrap(VALUES, PATIENTS)
    assert interval.mean == pytest.approx(np.mean(VALUES))
    assert (interval.n_units, interval.n_groups, interval.reason) == (7, 4, None)
    assert interval.low < interval.mean < interval.high


def test_three_single_units_give_the_exact_quantiles_of_the_27_means():
    values = [0.0, 1.0, 5.0]
    means = sorted((a + b + c) / 3 for a in values for b in values for c in values)
    interval = cluster_bootstrap(values, ["A", "B", "C"], level=0.8, n_resamples=50_000)
    assert interval.low == pytest.approx(np.quantile(means, 0.1, method="inverted_cdf"))
    assert interval.high == pytest.approx(np.quantile(means, 0.9, method="inverted_cdf"))


def test_the_standard_error_of_many_patients_is_the_closed_form():
    values = np.random.default_rng(0).normal(size=400)
    interval = cluster_bootstrap(values, list(range(400)))
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.03)


def test_copies_of_a_section_do_not_narrow_the_interval():
    values = np.random.default_rng(0).normal(size=12)
    alone = cluster_bootstrap(values, list(range(12)))
    copied = cluster_bootstrap(np.repeat(values, 10), np.repeat(np.arange(12), 10).tolist())
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))


def test_units_resampled_apart_would_be_too_sure():
    values = np.repeat(np.random.default_rng(0).normal(size=12), 10)
    by_patient = cluster_bootstrap(values, np.repeat(np.arange(12), 10).tolist())
    by_unit = cluster_bootstrap(values, list(range(120)))
    assert by_patient.high - by_patient.low > 2 * (by_unit.high - by_unit.low)


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_coverage_is_near_nominal_over_simulated_patients(method):
    """At 25 patients coverage falls short of 95% by about 2%; three standard errors of 400 runs are 3.3%."""
    hits = 0
    for run in range(400):
        rng = np.random.default_rng(run)
        sizes = rng.integers(1, 6, size=25)
        patient = np.repeat(np.arange(25), sizes)
        values = rng.normal(size=25)[patient] + 0.5 * rng.normal(size=len(patient))
        interval = cluster_bootstrap(values, patient.tolist(), n_resamples=400, method=method, seed=run)
        hits += interval.low <= 0 <= interval.high
    assert 0.89 <= hits / 400 <= 0.98


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_a_seed_decides_the_interval(method):
    values = np.random.default_rng(0).normal(size=20)
    first, again, other = (
        cluster_bootstrap(values, list(range(20)), method=method, seed=seed, n_resamples=500) for seed in (1, 1, 2)
    )
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


@pytest.mark.parametrize("patients", [["A"] * 7, ["A"] * 3 + ["B"] * 4])
def test_fewer_than_three_patients_give_a_reason_and_no_interval(patients):
    interval = cluster_bootstrap(VALUES, patients)
    assert (interval.low, interval.high) == (None, None)
    assert f"{len(set(patients))} patients" in interval.reason
    assert interval.mean == pytest.approx(np.mean(VALUES))


def test_no_value_gives_no_interval():
    interval = cluster_bootstrap([], [])
    assert math.isnan(interval.mean)
    assert interval.low is None


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_equal_patients_give_a_point(method):
    interval = cluster_bootstrap([0.5] * 6, ["A", "A", "B", "B", "C", "C"], method=method)
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_a_paired_difference_is_the_bootstrap_of_differences_and_forgets_what_is_shared():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=20) * 10
    patients = np.repeat(np.arange(10), 2).tolist()
    interval = paired_bootstrap(shared + 0.3 + 0.01 * rng.normal(size=20), shared, patients)
    assert interval.mean == pytest.approx(0.3, abs=0.01)
    assert interval.high - interval.low < 0.05
    assert paired_bootstrap(shared, shared + 1, patients).high == pytest.approx(-1)


def test_undefined_values_and_unequal_lengths_are_refused():
    with pytest.raises(DataError, match="value 1 of 3 is nan"):
        cluster_bootstrap([0.1, math.nan, 0.2], ["A", "B", "C"])
    with pytest.raises(DataError, match="2 groups"):
        cluster_bootstrap([0.1, 0.3, 0.2], ["A", "B"])
    with pytest.raises(DataError, match="same units"):
        paired_bootstrap([0.1, 0.3], [0.2], ["A", "B"])


def test_many_groups_are_drawn_in_pieces_to_the_same_interval(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = cluster_bootstrap(values, range(50), n_resamples=500)
    monkeypatch.setattr("hage_transfer.compare.bootstrap._DRAWN_AT_A_TIME", 50 * 7)
    assert cluster_bootstrap(values, range(50), n_resamples=500) == whole
