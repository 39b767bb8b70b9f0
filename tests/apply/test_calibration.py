"""Calibration and thresholds of out-of-fold scores: what they promise holds on new patients."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binom

from hage_transfer.apply.calibration import MIN_ISOTONIC, calibrated, fit_calibration
from hage_transfer.apply.operating_point import OperatingPoint
from hage_transfer.compare.classification import calibration_error
from hage_transfer.errors import ConfigError


def planted(seed: int, n: int, *, too_sure: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose log odds are ``too_sure`` times what they should be, and classes drawn of the right ones."""
    generator = np.random.default_rng(seed)
    right = expit(generator.normal(size=n))
    of_positive = expit(too_sure * logit(right))
    return np.stack([1 - of_positive, of_positive], axis=1), (generator.uniform(size=n) < right).astype(int)


@pytest.mark.parametrize("n", [400, 2 * MIN_ISOTONIC])
@pytest.mark.parametrize("seed", range(5))
def test_calibrated_errs_at_most_half_as_much_as_raw(seed, n):
    fitted = fit_calibration(*planted(seed, n), positive=1)
    assert fitted["method"] == ("platt" if n < MIN_ISOTONIC else "isotonic")
    scores, labels = planted(seed + 100, 20_000)
    after = calibrated(scores, fitted, positive=1)
    assert after.sum(axis=1) == pytest.approx(1)
    assert calibration_error(labels, after) <= 0.5 * calibration_error(labels, scores)


def test_platt_undoes_what_was_planted():
    (curve,) = fit_calibration(*planted(0, MIN_ISOTONIC - 1), positive=1)["curves"]
    assert curve["slope"] == pytest.approx(1 / 4, rel=0.35)
    assert curve["intercept"] == pytest.approx(0, abs=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_three_classes_are_calibrated_one_against_the_rest(seed):
    generator = np.random.default_rng(seed)
    right = generator.dirichlet(np.ones(3), size=900)
    labels = np.array([generator.choice(3, p=one) for one in right])
    sure = right**3 / (right**3).sum(axis=1, keepdims=True)
    after = calibrated(sure, fit_calibration(sure, labels, positive=None), positive=None)
    assert after.sum(axis=1) == pytest.approx(1)
    assert calibration_error(labels, after) <= 0.5 * calibration_error(labels, sure)


def test_classes_that_are_told_apart_without_error_keep_finite_odds():
    scores, labels = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10), np.repeat([0, 1], 10)
    after = calibrated(scores, fit_calibration(scores, labels, positive=1), positive=1)
    assert after[-1, 1] == pytest.approx(11 / 12, abs=1e-3)
    assert after[0, 1] == pytest.approx(1 / 12, abs=1e-3)


@pytest.mark.parametrize("kind", ["sensitivity", "specificity"])
@pytest.mark.parametrize("n", [200, 600])
def test_a_wanted_share_is_reached_by_new_patients_within_its_binomial_interval(kind, n):
    below = 0
    for seed in range(20):
        scores, labels = planted(seed, n)
        threshold = OperatingPoint(kind, 0.9).threshold(scores[:, 1], labels == 1)
        new, truth = planted(seed + 1000, 400)
        called = new[:, 1] >= threshold
        right = called[truth == 1] if kind == "sensitivity" else ~called[truth == 0]
        assert right.sum() >= binom.ppf(0.005, len(right), 0.9), seed
        below += right.sum() < binom.ppf(0.025, len(right), 0.9)
    assert below <= 1  # a sensitivity of exactly 0.9 is below the lower end of its 95% interval in half a seed of 20


@pytest.mark.parametrize(("n", "least"), [(9, 9), (28, 28), (29, 29), (60, 59), (100, 96)])
def test_so_many_are_taken_that_fewer_would_not_show_the_share(n, least):
    """By hand: the fewest c of n with P(fewer than c of n at 0.9) at least 0.95, or all."""
    scores = np.concatenate([np.linspace(0.5, 0.9, n), [0.1]])
    threshold = OperatingPoint("sensitivity", 0.9).threshold(scores, scores > 0.3)
    assert (scores[scores > 0.3] >= threshold).sum() == least
    enough = [c for c in range(n + 1) if sum(binom.pmf(k, n, 0.9) for k in range(c)) >= 0.95]
    assert min([*enough, n]) == least


def test_operating_points_are_the_best_of_their_kind():
    scores, truth = planted(3, 300)
    scores, truth = scores[:, 1], truth == 1

    def rates(threshold: float) -> tuple[float, float]:
        called = scores >= threshold
        return called[truth].mean(), (~called[~truth]).mean()

    every = [rates(one) for one in np.append(scores, 2.0)]
    youden = rates(OperatingPoint.of("youden").threshold(scores, truth))
    assert sum(youden) == pytest.approx(max(sum(one) for one in every))
    cost = OperatingPoint.of({"cost": 5}).threshold(scores, truth)

    def paid(sensitivity: float, specificity: float) -> float:
        return 5 * (1 - sensitivity) * truth.sum() + (1 - specificity) * (~truth).sum()

    assert paid(*rates(cost)) == pytest.approx(min(paid(*one) for one in every))
    wanted = rates(OperatingPoint.of("sensitivity=0.9").threshold(scores, truth))
    assert wanted[0] >= 0.9
    assert all(one[0] < wanted[0] or one[1] <= wanted[1] + 1e-9 for one in every)


@pytest.mark.parametrize("given", ["sens=0.9", "sensitivity", "sensitivity=1.5", "youden=2", "cost=-1", {}, "cost=nan"])
def test_what_is_no_operating_point_is_refused(given):
    with pytest.raises(ConfigError, match=r"wanted youden, sensitivity=0\.9"):
        OperatingPoint.of(given)


def test_few_positives_are_all_called():
    scores = np.linspace(0.1, 0.9, 9)
    threshold = OperatingPoint("sensitivity", 0.95).threshold(scores, scores > 0.5)
    assert (scores[scores > 0.5] >= threshold).all()
    with pytest.raises(ConfigError, match="of one class"):
        OperatingPoint("youden").threshold(scores, np.ones(9, dtype=bool))


@pytest.mark.parametrize("highest", [1.0, np.nextafter(1, 0)])
def test_a_negative_of_the_highest_score_can_be_left_uncalled(highest):
    scores, truth = np.array([0.2, 0.4, highest]), np.array([True, False, False])
    threshold = OperatingPoint("specificity", 0.9).threshold(scores, truth)
    assert threshold > highest


def test_a_place_between_two_neighbouring_numbers_parts_them():
    low = np.nextafter(0.5, 0)
    threshold = OperatingPoint("youden").threshold(np.array([low, 0.5]), np.array([False, True]))
    assert low < threshold <= 0.5
