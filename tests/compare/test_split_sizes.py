"""The variance of a mean over splits takes each split's own sizes; degrees of freedom are what the rows can give."""

from types import SimpleNamespace

import numpy as np
import pytest

from hage_transfer.compare.differences import paired_difference
from hage_transfer.compare.fold_tests import fold_test
from hage_transfer.compare.split_sizes import META, SplitSizes, sizes_of

N = 60


def k_fold(k, *, repeats=1):
    order = [np.random.default_rng(r).permutation(N) for r in range(repeats)]
    return [(np.setdiff1d(np.arange(N), rows[i::k]), rows[i::k]) for rows in order for i in range(k)]


def draws(number, share):
    orders = [np.random.default_rng(k).permutation(N) for k in range(number)]
    return [(order[round(share * N) :], order[: round(share * N)]) for order in orders]


def published():
    return [(np.arange(20, 60), np.arange(10)), (np.arange(20), np.arange(20, 50)), (np.arange(10), np.arange(30, 40))]


def sizes(splits):
    return SplitSizes.of([SimpleNamespace(name=str(k), train=a, test=b) for k, (a, b) in enumerate(splits)])


@pytest.mark.parametrize(
    ("splits", "ratio", "freedom"),
    [
        (k_fold(5), 1 / 4, 4),
        (k_fold(10), 1 / 9, 9),
        (k_fold(5, repeats=10), 1 / 4, 4),
        (draws(10, 0.1), 1 / 9, 4),
        (draws(20, 0.2), 1 / 4, None),
        (published(), (10 / 40 + 30 / 20 + 10 / 10) / 3, 40 / (50 / 3) - 1),
    ],
)
def test_the_standard_error_is_of_the_splits_own_sizes(splits, ratio, freedom):
    values = np.random.default_rng(1).normal(0.1, 1, len(splits))
    ours, zero = {str(k): v for k, v in enumerate(values)}, {str(k): 0.0 for k in range(len(values))}
    found = paired_difference(ours, zero, metric="auc", source="a", baseline="b", sizes=sizes(splits))
    assert found.standard_error == pytest.approx(values.std(ddof=1) * np.sqrt(1 / len(values) + ratio))
    if freedom is not None:
        assert found.freedom == pytest.approx(freedom)
    assert 1 <= found.freedom <= min(len(values) - 1, 9)


def test_validation_rows_count_as_training():
    fold = SimpleNamespace(name="0", train=np.arange(30), validation=np.arange(30, 40), test=np.arange(40, 60))
    assert SplitSizes.of([fold]).ratio(["0"]) == 20 / 40


def test_a_test_over_folds_says_what_the_interval_says():
    rng, own = np.random.default_rng(2), sizes(draws(10, 0.2))
    for shift in rng.normal(0, 1.5, 20):
        values = {str(k): v for k, v in enumerate(rng.normal(shift, 1, 10))}
        found = paired_difference(values, dict.fromkeys(values, 0.0), metric="auc", source="a", baseline="b", sizes=own)
        assert (fold_test(values, own).t_p_value < 0.05) == (found.verdict != "within noise")


def test_sizes_survive_results():
    own = sizes(draws(10, 0.2))
    assert sizes_of({META: own.meta()}, ["0"]) == own


@pytest.mark.parametrize("mode", ["monte_carlo", "files"])
def test_old_results_of_overlapping_splits_are_not_judged(mode):
    values = {"0": 0.9, "1": 0.8, "2": 0.85}
    own = sizes_of({"split": mode}, values)
    found = paired_difference(values, dict.fromkeys(values, 0.7), metric="auc", source="a", baseline="b", sizes=own)
    assert found.verdict == "not judged"
    assert "run it again" in found.sentence()
    assert fold_test(values, own).t_p_value is None


def test_old_results_of_folds_are_read_as_before():
    assert sizes_of({"split": "folds"}, ["0", "1", "2", "3", "4"]).ratio(["0", "1"]) == 1 / 4
