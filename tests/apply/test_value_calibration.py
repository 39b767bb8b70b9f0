"""Calibration of targets beyond classes: numbers equal those of scikit-learn, scipy and scikit-survival."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from hage_transfer.apply.value_calibration import agreement, calibrated_values, fit_values, survival_groups
from hage_transfer.errors import DataError
from hage_transfer.targets.multilabel import MultiLabel
from hage_transfer.targets.ordinal import Ordinal
from hage_transfer.targets.regression import Regression
from hage_transfer.targets.survival import Cox

RNG = np.random.default_rng(0)


def test_a_number_is_calibrated_by_scikit_learns_line():
    said = RNG.normal(50, 10, size=(200, 1))
    true = 0.5 * said + 30 + RNG.normal(size=said.shape)
    fitted = fit_values(Regression(), true, said)
    known = LinearRegression().fit(said, true[:, 0])
    assert fitted["slope"] == pytest.approx(known.coef_[0], abs=1e-9)
    assert fitted["intercept"] == pytest.approx(known.intercept_, abs=1e-9)
    calibrated = calibrated_values(Regression(), said, fitted)["calibrated"]
    np.testing.assert_allclose(calibrated, known.predict(said), rtol=1e-9)
    assert agreement(Regression(), true, calibrated[:, None], None)["slope"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("said", [np.full((30, 1), 7.0), np.ones((2, 1))])
def test_a_constant_number_has_no_line_and_is_not_calibrated(said):
    fitted = fit_values(Regression(), np.arange(len(said), dtype=float)[:, None], said)
    assert fitted["slope"] is None
    assert calibrated_values(Regression(), said, fitted) == {}


def _survival(n=400, stretch=1.0):
    """Exponential times, predicted with log hazards ``stretch`` times as far apart as they are."""
    log_hazard = RNG.normal(size=n)
    time, end = RNG.exponential(10 * np.exp(-log_hazard)), RNG.exponential(40, size=n)
    values = np.column_stack([np.minimum(time, end), time <= end]).astype(float)
    horizons = (2.0, 5.0, 10.0)
    shares = np.exp(-np.exp(stretch * log_hazard)[:, None] * np.array(horizons) / 10)
    return Cox(horizons), values, np.column_stack([stretch * log_hazard, shares])


@pytest.mark.parametrize("stretch", [1.0, 2.0])
def test_survival_s_slope_is_scikit_survivals_and_1_of_the_true_hazard(stretch):
    target, values, scores = _survival(stretch=stretch)
    found = agreement(target, values, scores, None)
    outcome = Surv.from_arrays(values[:, 1] > 0, values[:, 0])
    known = CoxPHSurvivalAnalysis().fit(scores[:, :1], outcome).coef_[0]  # log(-log S) is the risk and a constant
    assert found["slope"] == pytest.approx(known, abs=1e-6)
    assert found["slope"] == pytest.approx(1 / stretch, abs=0.15)
    if stretch == 1:
        assert found["observed_to_expected"] == pytest.approx(1, abs=0.12)


def test_observed_survival_is_kaplan_and_meiers_of_each_group():
    target, values, scores = _survival()
    groups = survival_groups(target, values, scores)
    parts = np.array_split(np.argsort(scores[:, 2], kind="stable"), 4)
    for row, part in zip(groups, parts, strict=True):
        steps, shares = kaplan_meier_estimator(values[part, 1] > 0, values[part, 0])
        assert row["observed"] == shares[steps <= 5.0][-1]
        assert row["predicted"] == pytest.approx(scores[part, 2].mean())
        assert row["observed"] == pytest.approx(row["predicted"], abs=0.15)
    horizon = fit_values(target, values, scores)["horizons"][1]
    steps, shares = kaplan_meier_estimator(values[:, 1] > 0, values[:, 0])
    assert (horizon["time"], horizon["observed"]) == (5.0, shares[steps <= 5.0][-1])


@pytest.mark.parametrize("fault", ["no event", "one risk", "perfect order"])
def test_survival_without_a_slope_says_so(fault):
    target, values, scores = _survival(30)
    if fault == "no event":
        values[:, 1] = 0
    elif fault == "one risk":
        scores[:] = scores[0]
    else:
        values[:, 0], values[:, 1] = np.argsort(np.argsort(-scores[:, 0])) + 1.0, 1
    assert agreement(target, values, scores, None)["slope"] is None


def test_labels_are_calibrated_each_by_its_own_curve_and_halve_the_error():
    truth = 1 / (1 + np.exp(-RNG.normal(size=(600, 2)) * [1, 2]))
    values = (RNG.uniform(size=truth.shape) < truth).astype(float)
    values[::7, 1] = np.nan
    scores = truth**3
    target = MultiLabel(("er", "pr"))
    columns = calibrated_values(target, scores, fit_values(target, values, scores))
    assert list(columns) == ["calibrated_er", "calibrated_pr"]
    found = agreement(target, values, scores, np.column_stack(list(columns.values())))
    assert found["calibration_error"] < found["calibration_error_raw"] / 2
    import torch

    known = ~np.isnan(values)
    by_label = [
        binary_calibration_error(torch.tensor(scores[k, j]), torch.tensor(values[k, j].astype(int)), n_bins=15)
        for j, k in enumerate(known.T)
    ]
    assert found["calibration_error_raw"] == pytest.approx(float(np.mean(by_label)), abs=1e-6)


def test_grades_are_calibrated_together():
    raw = RNG.dirichlet([2, 2, 2], size=800)
    grades = np.array([RNG.choice(3, p=row) for row in raw], dtype=float)[:, None]
    sharp = raw**3 / (raw**3).sum(axis=1, keepdims=True)
    target = Ordinal(("low", "middle", "high"))
    fitted = fit_values(target, grades, sharp)
    columns = calibrated_values(target, sharp, fitted)
    assert list(columns) == ["calibrated_low", "calibrated_middle", "calibrated_high"]
    np.testing.assert_allclose(sum(columns.values()), 1)
    found = agreement(target, grades, sharp, np.column_stack(list(columns.values())))
    assert found["calibration_error"] < found["calibration_error_raw"] / 2
    import torch

    wanted = multiclass_calibration_error(
        torch.tensor(sharp), torch.tensor(grades[:, 0].astype(int)), num_classes=3, n_bins=15
    )
    assert found["calibration_error_raw"] == pytest.approx(float(wanted), abs=1e-6)
    with pytest.raises(DataError, match="2 curves, wanted 3"):
        calibrated_values(target, sharp, {**fitted, "curves": fitted["curves"][:2]})
