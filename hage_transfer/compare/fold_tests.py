"""Paired tests of two sources over cross-validation folds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hage_transfer.compare.differences import is_rounding, standard_error


@dataclass(frozen=True)
class FoldTest:
    """Differences of two sources, fold by fold.

    Attributes:
        mean: over folds.
        std: over folds (ddof 1); None with one fold.
        n_folds: where both are defined.
        t_p_value: two-sided, corrected for the training rows that folds share; None with one fold, or where every
            difference is the same.
        wilcoxon_p_value: two-sided signed ranks, exact; with five folds never below 0.0625; None where all are 0.
    """

    mean: float
    std: float | None
    n_folds: int
    t_p_value: float | None
    wilcoxon_p_value: float | None


def fold_test(differences: Sequence[float]) -> FoldTest | None:
    """Tests the mean difference against 0; None without a fold.

    Reference: Nadeau and Bengio 2003: the variance of a mean over k folds is (1/k + n_test/n_train) s^2, where
    n_test/n_train = 1/(k - 1); the plain t test takes folds for independent and finds too much.

    >>> found = fold_test([0.02, 0.01, 0.03, -0.01, 0.02])
    >>> round(found.mean, 3), round(found.t_p_value, 3)
    (0.014, 0.241)
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return None
    if len(values) < 2:
        return FoldTest(float(values.mean()), None, 1, None, None)
    k = len(values)
    std = float(values.std(ddof=1))
    mean = float(values.mean())
    t_p_value = None if is_rounding(std, mean) else 2 * float(stats.t.sf(abs(mean) / standard_error(std, k), k - 1))
    signed = None if not values.any() else float(stats.wilcoxon(values, method="auto").pvalue)
    return FoldTest(mean, std, k, t_p_value, signed)
