"""Probabilities that mean what they say: Platt's or isotonic curves, fitted on out-of-fold probabilities alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit

MIN_ISOTONIC = 1000
"""Rows below which isotonic regression fits noise (scikit-learn's advice), so Platt's two numbers are taken."""
_EDGE = 1e-6
_NO_PENALTY = 1e10

Method = Literal["platt", "isotonic"]


def fit_calibration(
    probabilities: Float[np.ndarray, "row class"], labels: Int[np.ndarray, " row"], *, positive: int | None
) -> dict[str, Any]:
    """Curves of the positive class, or of every class against the rest where there are more than two.

    Platt's targets are (n + 1) / (n + 2) and 1 / (m + 2) in place of 1 and 0 of n positives and m negatives, so that
    classes that are told apart without an error do not get infinite odds. Deviation: of the log odds of a
    probability, not of a margin.

    Reference: Platt 1999, section 2; Zadrozny and Elkan 2002 (isotonic; one against the rest, then made to sum to 1).

    Args:
        probabilities: out of fold.
        labels: class of each row.
        positive: of two classes, the one that the curve is of.

    Returns:
        ``method``, ``rows`` and ``curves``: plain numbers, for JSON; what ``calibrated`` takes.
    """
    method: Method = "isotonic" if len(labels) >= MIN_ISOTONIC else "platt"
    wanted = range(probabilities.shape[1]) if positive is None else (positive,)
    fit = _isotonic if method == "isotonic" else _platt
    curves = [fit(probabilities[:, place], labels == place) for place in wanted]
    return {"method": method, "rows": len(labels), "curves": curves}


def calibrated(
    probabilities: Float[np.ndarray, "row class"], fitted: Mapping[str, Any], *, positive: int | None
) -> Float[np.ndarray, "row class"]:
    """Probabilities by the curves; rows sum to 1."""
    curves: Sequence[Mapping[str, Any]] = fitted["curves"]
    if positive is not None:
        of_positive = at_curve(probabilities[:, positive], curves[0])
        found = np.empty_like(probabilities)
        found[:, positive], found[:, 1 - positive] = of_positive, 1 - of_positive
        return found
    found = np.stack([at_curve(probabilities[:, place], curve) for place, curve in enumerate(curves)], axis=1)
    total = found.sum(axis=1, keepdims=True)
    return np.where(total > 0, found / np.where(total > 0, total, 1), 1 / found.shape[1])


def fit_labels(probabilities: Float[np.ndarray, "row label"], values: Float[np.ndarray, "row label"]) -> dict[str, Any]:
    """A curve a label, of labels that do not exclude each other; values are 1, 0, or NaN where nobody looked."""
    known = ~np.isnan(values)
    method: Method = "isotonic" if known.sum(axis=0).min() >= MIN_ISOTONIC else "platt"
    fit = _isotonic if method == "isotonic" else _platt
    pairs = zip(probabilities.T, values.T, known.T, strict=True)
    curves = [fit(shares[there], labels[there] > 0.5) for shares, labels, there in pairs]
    return {"method": method, "rows": len(values), "curves": curves}


def log_odds(probabilities: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Log odds, finite: probabilities are taken to lie between 1e-6 and 1 less that."""
    return np.asarray(logit(np.clip(probabilities, _EDGE, 1 - _EDGE)))


def _platt(scores: np.ndarray, is_class: np.ndarray) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    n, m = int(is_class.sum()), int((~is_class).sum())
    high, low = (n + 1) / (n + 2), 1 / (m + 2)
    share = np.where(is_class, high, low)  # of each row that counts as of the class
    twice = np.tile(log_odds(scores)[:, None], (2, 1))
    targets, weights = np.repeat([1, 0], len(scores)), np.concatenate([share, 1 - share])
    found = LogisticRegression(C=_NO_PENALTY, max_iter=1000, tol=1e-8).fit(twice, targets, sample_weight=weights)
    return {"slope": float(found.coef_[0, 0]), "intercept": float(found.intercept_[0])}


def _isotonic(scores: np.ndarray, is_class: np.ndarray) -> dict[str, Any]:
    from sklearn.isotonic import IsotonicRegression

    found = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, is_class)
    return {"x": found.X_thresholds_.tolist(), "y": found.y_thresholds_.tolist()}


def at_curve(scores: Float[np.ndarray, " row"], curve: Mapping[str, Any]) -> Float[np.ndarray, " row"]:
    """Probabilities by one curve."""
    if "slope" in curve:
        return np.asarray(expit(curve["slope"] * log_odds(scores) + curve["intercept"]))
    return np.interp(scores, curve["x"], curve["y"])
