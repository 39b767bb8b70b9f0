"""Whether a target's predictions mean what they say: curves through out-of-fold scores, predicted beside observed."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from hage_transfer.apply.calibration import at_curve, calibrated, fit_calibration, fit_labels
from hage_transfer.compare.classification import binary_calibration_error, calibration_error
from hage_transfer.compare.records import mean_of_defined
from hage_transfer.errors import DataError
from hage_transfer.targets.base import Target
from hage_transfer.targets.multilabel import MultiLabel
from hage_transfer.targets.ordinal import Ordinal
from hage_transfer.targets.survival import Survival
from hage_transfer.targets.survival_metrics import horizon_rows, inside, outcome, survival_at

CALIBRATED = "calibrated"
_LEAST_SPREAD, _MOST_GROUPS, _FEWEST = 1e-9, 4, 8


def fit_values(target: Target, values: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """What a classifier directory keeps of a target's calibration, for JSON; ``method`` says which.

    ``line``: the true number as a straight line of the predicted one (least squares). ``platt``, ``isotonic``: a curve
    a grade or label, as of classes. ``kaplan-meier``: the share that survives beside what was predicted, by horizon.

    Args:
        target: of which kind.
        values: true ones of patients, or rows where rows are judged.
        scores: theirs, out of fold.
    """
    if isinstance(target, Ordinal):
        return fit_calibration(scores, values[:, 0].astype(int), positive=None)
    if isinstance(target, MultiLabel):
        return fit_labels(scores, values)
    if isinstance(target, Survival):
        rows = horizon_rows(values, scores, target.horizons, training=values)
        kept = [{name: row[name] for name in ("time", "predicted", "observed", "left")} for row in rows]
        found = agreement(target, values, scores, None)
        return {"method": "kaplan-meier", "rows": len(values), **found, "horizons": kept}
    return {"method": "line", "rows": len(values), **line(values[:, 0], scores[:, 0])}


def calibrated_values(
    target: Target, scores: Float[np.ndarray, "unit score"], fitted: Mapping[str, Any] | None
) -> dict[str, Float[np.ndarray, " unit"]]:
    """Columns of calibrated numbers: one of a number, one a grade or label; none of survival.

    Raises:
        DataError: curves that are not the target's.
    """
    if fitted is None or target.kind == "survival":
        return {}
    if target.kind == "regression":
        if fitted.get("slope") is None or fitted.get("intercept") is None:
            return {}
        return {CALIBRATED: fitted["slope"] * scores[:, 0] + fitted["intercept"]}
    if len(fitted["curves"]) != scores.shape[1]:
        raise DataError(f"the calibration has {len(fitted['curves'])} curves, wanted {scores.shape[1]}")
    if isinstance(target, Ordinal):
        found = calibrated(scores, fitted, positive=None)
    else:
        found = np.stack([at_curve(scores[:, k], curve) for k, curve in enumerate(fitted["curves"])], axis=1)
    return dict(zip(calibrated_names(target), found.T, strict=True))


def calibrated_names(target: Target) -> list[str]:
    """Columns of ``calibrated_values``."""
    if target.kind == "regression":
        return [CALIBRATED]
    shares = [name for name in target.score_names if name.startswith("probability_")]
    return [name.replace("probability", CALIBRATED, 1) for name in shares]


def agreement(
    target: Target, values: np.ndarray, scores: np.ndarray, fitted: np.ndarray | None
) -> dict[str, float | None]:
    """How far predictions and truth agree, in numbers.

    A number: slope and intercept of the true one by the predicted (1 and 0 are right). Survival: slope of the log
    hazard by the predicted one at the middle horizon, and events observed over expected there (1 and 1). Grades and
    labels: calibration error (15 bins, mean over labels) of fitted and of raw probabilities.

    Reference: Van Calster et al. 2019; Crowson, Atkinson, Therneau 2016 (survival).
    """
    if target.kind == "regression":
        return line(values[:, 0], scores[:, 0])
    if isinstance(target, Survival):
        place = middle_horizon(target, values)
        if place is None:
            return {"slope": None, "observed_to_expected": None}
        survival, time = scores[:, 1 + place], target.horizons[place]
        expected = float(1 - survival.mean())
        ratio = (1 - survival_at(values, time)) / expected if expected > 0 else None
        return {"slope": _hazard_slope(values, survival), "observed_to_expected": ratio}
    return {
        "calibration_error": None if fitted is None else _error(target, values, fitted),
        "calibration_error_raw": _error(target, values, scores),
    }


def line(true: Float[np.ndarray, " unit"], said: Float[np.ndarray, " unit"]) -> dict[str, float | None]:
    """Slope and intercept of least squares; None where the prediction is constant."""
    from scipy.stats import linregress

    if len(true) < 3 or said.std() <= _LEAST_SPREAD * max(abs(float(said.mean())), 1.0):
        return {"slope": None, "intercept": None}
    found = linregress(said, true)
    return {"slope": float(found.slope), "intercept": float(found.intercept)}


def middle_horizon(target: Survival, values: np.ndarray) -> int | None:
    """Place of the middle one of the horizons inside the follow-up."""
    kept = np.flatnonzero(inside(values, target.horizons, values)[0])
    return int(kept[len(kept) // 2]) if len(kept) else None


def survival_groups(target: Survival, values: np.ndarray, scores: np.ndarray) -> list[dict[str, float]]:
    """Predicted and observed survival at the middle horizon of up to four groups, by what was predicted."""
    place = middle_horizon(target, values)
    n_groups = min(_MOST_GROUPS, len(values) // _FEWEST)
    if place is None or n_groups < 2:
        return []
    time, said = target.horizons[place], scores[:, 1 + place]
    groups = np.array_split(np.argsort(said, kind="stable"), n_groups)
    return [
        {
            "time": float(time),
            "predicted": float(said[rows].mean()),
            "observed": survival_at(values[rows], time),
            "rows": len(rows),
        }
        for rows in groups
    ]


def known_labels(target: Target, values: np.ndarray) -> list[tuple[str, Bool[np.ndarray, " unit"], np.ndarray]]:
    """Of each grade or label: its name, which units it is known of, and whether it is theirs."""
    if isinstance(target, Ordinal):
        known = np.ones(len(values), dtype=bool)
        return [(name, known, values[:, 0] == place) for place, name in enumerate(target.grades)]
    names = target.names if isinstance(target, MultiLabel) else ()
    return [(name, ~np.isnan(one), one > 0.5) for name, one in zip(names, values.T, strict=False)]


def _error(target: Target, values: np.ndarray, shares: np.ndarray) -> float | None:
    if isinstance(target, Ordinal):
        return calibration_error(values[:, 0].astype(int), shares)
    found = [
        binary_calibration_error(true[known], shares[known, place])
        for place, (_, known, true) in enumerate(known_labels(target, values))
        if known.any()
    ]
    return mean_of_defined(found)


def _hazard_slope(values: np.ndarray, survival: np.ndarray) -> float | None:
    """Cox's coefficient of log(-log S): 1 where predicted hazards are as far apart as the true ones."""
    from sklearn.exceptions import ConvergenceWarning
    from sksurv.linear_model import CoxPHSurvivalAnalysis

    log_hazard = np.log(-np.log(np.clip(survival, 1e-300, 1 - 2**-53)))
    if log_hazard.std() <= _LEAST_SPREAD or not (values[:, 1] > 0).any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(CoxPHSurvivalAnalysis().fit(log_hazard[:, None], outcome(values)).coef_[0])
        except (ConvergenceWarning, RuntimeWarning, ValueError, np.linalg.LinAlgError):  # a perfect order has no slope
            return None
