"""What a comparison claims: bootstrap by group, tests over folds, and the rows they come from."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from hage_transfer.compare.auc_bootstrap import auc_draws
from hage_transfer.compare.comparison import LabelledFolds, paired_tests, source_intervals
from hage_transfer.compare.fold_tests import fold_test
from hage_transfer.compare.out_of_fold import OutOfFold, classification_records, trials_as_one

N, GROUPS = 240, 24


@pytest.fixture
def tested():
    groups = np.arange(N) // (N // GROUPS)
    labels = np.random.default_rng(0).integers(2, size=N)
    folds = {str(fold): np.flatnonzero(groups % 4 == fold) for fold in range(4)}
    return LabelledFolds(labels, folds, groups, positive=1)


def source(tested, signal, *, seed=0, name="frozen", trial=None):
    generator = np.random.default_rng(seed)
    scores = signal * (tested.labels - 0.5) + generator.normal(size=GROUPS)[tested.groups] + generator.normal(size=N)
    share = 1 / (1 + np.exp(-scores))
    return OutOfFold(name, trial, np.stack([1 - share, share], axis=1))


def compared(predictions, tested):
    records = classification_records(
        predictions, task="probe", labels=tested.labels, test_rows=tested.folds, positive=1
    )
    found = paired_tests(predictions, records, tested, baseline="frozen")
    return {(row["source"], row["metric"]): row for row in found}


def test_auc_draws_equal_the_auc_of_the_rows_they_draw(tested):
    shares = source(tested, 1.0).probabilities
    draws = auc_draws(tested.labels, [shares], tested.folds, tested.groups, positive=1, n_resamples=20, seed=3)
    weights = np.random.default_rng(3).multinomial(GROUPS, np.full(GROUPS, 1 / GROUPS), size=20)
    for draw, weight in zip(draws, weights, strict=True):
        of_folds = [
            roc_auc_score(tested.labels[rows], shares[rows, 1], sample_weight=weight[tested.groups[rows]])
            for rows in tested.folds.values()
        ]
        assert draw == pytest.approx(np.mean(of_folds))


def test_source_intervals_hold_their_value_and_name_their_units(tested):
    rows = source_intervals([source(tested, 1.0)], tested)
    assert [(row["metric"], row["method"], row["n_units"]) for row in rows] == [
        ("accuracy", "bootstrap by group", GROUPS),
        ("auc", "bootstrap by group", GROUPS),
    ]
    assert all(row["low"] < row["mean"] < row["high"] for row in rows)


def test_source_intervals_by_group_are_wider_where_a_source_fails_on_whole_groups(tested):
    by_row = LabelledFolds(tested.labels, tested.folds, None, positive=1)
    found = source(tested, 3.0)
    failed = np.isin(tested.groups, np.arange(0, GROUPS, 3))
    shares = np.where(failed[:, None], found.probabilities[:, ::-1], found.probabilities)
    spoilt = [OutOfFold("frozen", None, shares)]
    widths = [[row["high"] - row["low"] for row in source_intervals(spoilt, given)] for given in (tested, by_row)]
    assert widths[0][0] > 1.5 * widths[1][0]
    assert widths[0][1] > 1.5 * widths[1][1]


def test_source_intervals_of_two_groups_say_why_there_is_none(tested):
    few = LabelledFolds(tested.labels, {"0": np.arange(N)}, np.arange(N) // (N // 2), positive=1)
    rows = source_intervals([source(tested, 1.0)], few)
    assert all(row["low"] is None and "2 " in row["reason"] for row in rows)


def test_source_intervals_of_many_rows_without_groups_are_delongs(tested, monkeypatch):
    from hage_transfer.compare import comparison

    by_row = LabelledFolds(tested.labels, tested.folds, None, positive=1)
    drawn = source_intervals([source(tested, 1.0)], by_row)
    monkeypatch.setattr(comparison, "MAX_GROUPS", 10)
    normal = source_intervals([source(tested, 1.0)], by_row)
    assert [row["method"] for row in normal] == ["normal by row", "DeLong by row"]
    for one, other in zip(drawn, normal, strict=True):
        assert one["high"] - one["low"] == pytest.approx(other["high"] - other["low"], rel=0.2)


def test_paired_tests_find_a_real_difference_and_no_other(tested):
    better, same = source(tested, 4.0, seed=1, name="better"), source(tested, 1.0, seed=2, name="same")
    found = compared([source(tested, 1.0), better, same], tested)
    assert found["better", "auc"]["delong_p_value"] < 0.001
    assert found["better", "auc"]["low"] > 0
    assert found["same", "auc"]["delong_p_value"] > 0.05
    assert found["same", "auc"]["low"] < 0 < found["same", "auc"]["high"]


def test_paired_tests_of_equal_sources_are_zero(tested):
    twin = OutOfFold("twin", None, source(tested, 1.0).probabilities)
    found = compared([source(tested, 1.0), twin], tested)
    assert {(row["mean"], row["t_p_value"], row["wilcoxon_p_value"]) for row in found.values()} == {(0.0, None, None)}


def test_paired_tests_average_trials_before_they_compare(tested):
    trials = [source(tested, 2.0, seed=k, name="hage", trial=k) for k in range(3)]
    found = compared([source(tested, 1.0), *trials], tested)["hage", "auc"]
    single = [compared([source(tested, 1.0), trial], tested)  # a lone trial counts as the source
              for trial in (OutOfFold("hage", None, one.probabilities) for one in trials)]  # fmt: skip
    assert found["mean"] == pytest.approx(np.mean([one["hage", "auc"]["mean"] for one in single]))
    assert found["delong_standard_error"] < max(one["hage", "auc"]["delong_standard_error"] for one in single)


def test_fold_test_is_students_with_the_variance_of_shared_training_rows():
    values = np.array([0.01, 0.03, 0.02, 0.05, -0.01])
    found = fold_test(values)
    plain = stats.ttest_1samp(values, 0)
    statistic = plain.statistic * np.sqrt((1 / 5) / (1 / 5 + 1 / 4))
    assert found.t_p_value == pytest.approx(2 * stats.t.sf(statistic, 4))
    assert found.t_p_value > plain.pvalue


def test_fold_test_of_five_folds_never_ranks_below_a_sixteenth():
    assert fold_test([0.1, 0.2, 0.3, 0.4, 0.5]).wilcoxon_p_value == pytest.approx(0.0625)


def test_fold_test_of_one_fold_tests_nothing():
    found = fold_test([0.1])
    assert (found.std, found.t_p_value, found.wilcoxon_p_value) == (None, None, None)
    assert fold_test([]) is None


def test_fold_test_of_equal_differences_has_no_p_value():
    assert fold_test([0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6, 0.6 - 0.5, 0.5 - 0.4]).t_p_value is None


def test_trials_as_one_average_probabilities_and_leave_single_trials_alone(tested):
    one, first, second = (
        source(tested, 1.0),
        source(tested, 1.0, seed=1, name="hage", trial=0),
        source(tested, 1.0, seed=2, name="hage", trial=1),
    )
    frozen, hage = trials_as_one([one, first, second])
    assert (frozen.source, frozen.trial, hage.source, hage.trial) == ("frozen", None, "hage", None)
    np.testing.assert_array_equal(frozen.probabilities, one.probabilities)
    np.testing.assert_allclose(hage.probabilities, (first.probabilities + second.probabilities) / 2)


def test_trials_as_one_of_single_trials_are_none(tested):
    assert trials_as_one([source(tested, 1.0), source(tested, 1.0, seed=1, name="hage", trial=0)]) == []
