"""Calibration: a per-gene affine fit that gives scale-free predictions the scale of expression."""

import numpy as np
from jaxtyping import Float


def calibrate(
    predicted: Float[np.ndarray, "spot gene"],
    *,
    train_predicted: Float[np.ndarray, "train gene"],
    train_target: Float[np.ndarray, "train gene"],
) -> Float[np.ndarray, "spot gene"]:
    """Least-squares line of each gene's target on its prediction, fitted on training spots, applied to ``predicted``.

    Slopes are kept at or above 0, so that a gene's correlation is left as it is or, where training shows none,
    becomes that of a constant. Needed since Eq. 2 ignores scale and shift: raw predictions have neither.
    """
    mean_predicted, mean_target = train_predicted.mean(0), train_target.mean(0)
    centred = train_predicted - mean_predicted
    variance = (centred**2).mean(0)
    covariance = (centred * (train_target - mean_target)).mean(0)
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    return mean_target + np.maximum(slope, 0) * (predicted - mean_predicted)
