"""DeLong's test and its form for groups, against definitions and simulation."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from hage_transfer.compare.auc_influence import auc_influence, delong_test, mean_influence


def two_columns(scores):
    return np.stack([-scores, scores], axis=1)


def influence(labels, scores, *, rows=None, groups=None):
    rows = np.arange(len(labels)) if rows is None else rows
    return auc_influence(labels, two_columns(scores), rows, groups=groups, positive=1)


def placements(labels, scores):
    """DeLong's structural components from all pairs."""
    ahead, behind = scores[labels == 1][:, None], scores[labels == 0][None]
    pairs = (ahead > behind) + 0.5 * (ahead == behind)
    return pairs.mean(axis=1), pairs.mean(axis=0)


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    labels = (generator.random(200) < 0.4).astype(int)
    one = labels + generator.normal(size=200) * 1.5
    return labels, one, np.round(one + generator.normal(size=200), 1)  # rounded: ties


def test_auc_influence_is_the_auc_with_its_ties(data):
    labels, _, scores = data
    assert influence(labels, scores).value == pytest.approx(roc_auc_score(labels, scores))


def test_delong_test_equals_its_definition_over_all_pairs(data):
    labels, one, other = data
    (p1, n1), (p2, n2) = placements(labels, one), placements(labels, other)
    variance = np.var(p1 - p2, ddof=1) / len(p1) + np.var(n1 - n2, ddof=1) / len(n1)
    found = delong_test(influence(labels, one), influence(labels, other), groups=None)
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    assert found.p_value == pytest.approx(2 * norm.sf(abs(found.difference) / np.sqrt(variance)))


def test_delong_test_of_a_source_against_itself_finds_nothing(data):
    labels, one, _ = data
    found = delong_test(influence(labels, one), influence(labels, one), groups=None)
    assert (found.difference, found.standard_error, found.p_value) == (0.0, 0.0, None)


def test_delong_test_is_as_often_wrong_as_it_says():
    generator, wrong = np.random.default_rng(1), 0
    for _ in range(300):
        labels = (np.arange(120) % 2).astype(int)
        signal = labels + generator.normal(size=120)
        sides = [influence(labels, signal + generator.normal(size=120)) for _ in range(2)]
        wrong += delong_test(*sides, groups=None).p_value < 0.05
    assert 0.02 < wrong / 300 < 0.09


def test_rows_copied_within_their_group_do_not_narrow_the_error(data):
    labels, scores, _ = data
    groups = np.arange(200) // 4
    copied = [np.repeat(values, 5) for values in (labels, scores, groups)]
    once = influence(labels, scores, groups=groups).standard_error(groups)
    again = influence(copied[0], copied[1], groups=copied[2]).standard_error(copied[2])
    assert again == pytest.approx(once, rel=1e-6)
    assert influence(copied[0], copied[1]).standard_error(None) < 0.7 * once


def test_standard_error_by_group_is_the_spread_over_new_groups():
    generator, values, errors = np.random.default_rng(2), [], []
    for _ in range(300):
        groups = np.repeat(np.arange(30), 6)
        labels = (generator.random(180) < 0.5).astype(int)
        scores = labels + generator.normal(size=30)[groups] * 1.5 + generator.normal(size=180) * 0.5
        found = influence(labels, scores, groups=groups)
        values.append(found.value)
        errors.append(found.standard_error(groups))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_mean_influence_over_folds_has_the_error_of_independent_folds(data):
    labels, scores, _ = data
    folds = [np.flatnonzero(np.arange(200) % 4 == fold) for fold in range(4)]
    parts = [influence(labels, scores, rows=rows) for rows in folds]
    whole = mean_influence(parts)
    assert whole.value == pytest.approx(np.mean([part.value for part in parts]))
    apart = np.sqrt(sum(part.standard_error(None) ** 2 for part in parts)) / 4
    assert whole.standard_error(None) == pytest.approx(apart)


def test_auc_influence_of_three_classes_is_that_of_the_mean_auc():
    generator = np.random.default_rng(3)
    labels = generator.integers(3, size=150)
    scores = np.eye(3)[labels] + generator.normal(size=(150, 3))
    found = auc_influence(labels, scores, np.arange(150), groups=None, positive=None)
    expected = np.mean([roc_auc_score(labels == c, scores[:, c]) for c in range(3)])
    assert found.value == pytest.approx(expected)
    draws = [generator.integers(150, size=150) for _ in range(400)]
    spread = np.std([np.mean([placements(labels[d] == c, scores[d, c])[0].mean() for c in range(3)]) for d in draws])
    assert found.standard_error(None) == pytest.approx(spread, rel=0.15)


def test_auc_influence_is_none_without_a_class(data):
    labels, scores, _ = data
    assert influence(labels, scores, rows=np.flatnonzero(labels == 1)) is None


@pytest.mark.slow
def test_delong_test_over_folds_of_few_groups_is_no_surer_than_its_variance():
    generator, wrong = np.random.default_rng(5), 0
    groups = np.repeat(np.arange(10), 20)
    folds = [np.flatnonzero(groups % 5 == fold) for fold in range(5)]
    for _ in range(300):
        labels = (generator.random(200) < 0.5).astype(int)
        sides = [
            mean_influence([influence(labels, scores, rows=rows, groups=groups) for rows in folds])
            for scores in labels + generator.normal(size=(2, 10))[:, groups] * (2 * labels - 1)
            + generator.normal(size=(2, 200))
        ]  # fmt: skip
        wrong += delong_test(*sides, groups=groups, folds=folds).p_value < 0.05
    assert 0.01 < wrong / 300 < 0.11


@pytest.mark.parametrize("side", [0, 1])
def test_delong_test_knows_no_error_where_a_class_is_in_one_group_of_a_fold(data, side):
    labels, one, other = data
    groups = np.where(labels == side, 0, 1 + np.arange(200) // 50)
    found = delong_test(*(influence(labels, scores, groups=groups) for scores in (one, other)), groups=groups)
    assert (found.standard_error, found.p_value) == (None, None)
    assert found.difference == pytest.approx(roc_auc_score(labels, one) - roc_auc_score(labels, other))


def test_delong_test_of_few_groups_is_no_surer_than_its_variance():
    generator, wrong = np.random.default_rng(4), 0
    groups = np.repeat(np.arange(8), 20)
    for _ in range(300):
        labels = (generator.random(160) < 0.5).astype(int)
        sides = [
            labels + generator.normal(size=8)[groups] * (2 * labels - 1) + generator.normal(size=160) for _ in range(2)
        ]
        found = delong_test(*(influence(labels, side, groups=groups) for side in sides), groups=groups)
        wrong += found.p_value < 0.05
    assert 0.01 < wrong / 300 < 0.11
