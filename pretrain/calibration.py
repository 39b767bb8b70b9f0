"""Calibration: a per-gene affine fit that gives scale-free predictions the scale of expression."""

import numpy as np
from jaxtyping import Float

_SPOTS_AT_A_TIME = 16_384


def calibrate(
    predicted: Float[np.ndarray, "spot gene"],
    *,
    train_predicted: Float[np.ndarray, "train gene"],
    train_target: Float[np.ndarray, "train gene"],
) -> Float[np.ndarray, "spot gene"]:
    """The line of ``fit_lines``, fitted on training spots and applied to ``predicted``."""
    slope, intercept = fit_lines(train_predicted, train_target)
    return intercept + slope * predicted


def fit_lines(
    train_predicted: Float[np.ndarray, "train gene"], train_target: Float[np.ndarray, "train gene"]
) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
    """Slope and intercept of the least-squares line of each gene's target on its prediction.

    Slopes are kept at or above 0, so that a gene's correlation is left as it is or, where training shows none,
    becomes that of a constant. Needed since Eq. 2 ignores scale and shift: raw predictions have neither.

    Returns:
        float64 slope and intercept, in the target's unit.
    """
    n_spots = len(train_predicted)
    parts = [slice(start, start + _SPOTS_AT_A_TIME) for start in range(0, n_spots, _SPOTS_AT_A_TIME)]
    mean_predicted = sum(train_predicted[part].sum(0, dtype=np.float64) for part in parts) / n_spots
    mean_target = sum(train_target[part].sum(0, dtype=np.float64) for part in parts) / n_spots
    variance, covariance = np.zeros_like(mean_predicted), np.zeros_like(mean_predicted)
    for part in parts:
        centred = train_predicted[part] - mean_predicted
        variance += (centred**2).sum(0)
        covariance += (centred * (train_target[part] - mean_target)).sum(0)
    slope = np.maximum(np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0), 0)
    return slope, mean_target - slope * mean_predicted
