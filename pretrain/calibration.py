"""Calibration: a per-gene affine fit that gives scale-free predictions the scale of expression."""

import logging

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.made_rows import Rows, evenly_drawn, made_rows, slices

log = logging.getLogger(__name__)
_ARRAYS = 8


def calibration_rows(train: Spots) -> Int[np.ndarray, " some"]:
    """Training spots whose predictions are kept to calibrate by: all, or 2^28 entries of evenly spaced ones."""
    rows = evenly_drawn(*train.target.shape, arrays=_ARRAYS)
    if len(rows) < len(train):
        log.info("calibration: on %d evenly spaced spots of %d", len(rows), len(train))
    return rows


def calibrate(predicted: Rows, *, train_predicted: Rows, train_target: Rows) -> Rows:
    """The line of ``fit_lines``, fitted on training spots and applied to ``predicted``; made by rows where large."""
    slope, intercept = fit_lines(train_predicted, train_target)
    return made_rows(predicted.shape, lambda rows: intercept + slope * predicted[rows])


def fit_lines(
    train_predicted: Rows, train_target: Rows
) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
    """Slope and intercept of the least-squares line of each gene's target on its prediction.

    Slopes are kept at or above 0, so that a gene's correlation is left as it is or, where training shows none,
    becomes that of a constant. Needed since Eq. 2 ignores scale and shift: raw predictions have neither.
    Both arrays are read once, part by part, whose moments are joined by the update of Chan, Golub and LeVeque (1979).

    Returns:
        float64 slope and intercept, in the target's unit.
    """
    n_seen, n_genes = 0, train_target.shape[1]
    mean_predicted, mean_target, variance, covariance = np.zeros((4, n_genes))
    for part in slices(train_target):
        x, y = (np.array(values[part], dtype=np.float64) for values in (train_predicted, train_target))
        mean_x, mean_y = x.mean(0), y.mean(0)
        x -= mean_x
        y -= mean_y
        apart_x, apart_y = mean_x - mean_predicted, mean_y - mean_target
        share = len(x) / (n_seen + len(x))
        variance += np.einsum("sg,sg->g", x, x) + apart_x**2 * n_seen * share
        covariance += np.einsum("sg,sg->g", x, y) + apart_x * apart_y * n_seen * share
        mean_predicted, mean_target = mean_predicted + share * apart_x, mean_target + share * apart_y
        n_seen += len(x)
    slope = np.maximum(np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0), 0)
    return slope, mean_target - slope * mean_predicted
