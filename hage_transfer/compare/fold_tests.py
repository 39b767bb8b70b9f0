"""Paired tests of two sources over cross-validation folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hage_transfer.compare.differences import is_rounding, standard_error
from hage_transfer.compare.split_sizes import SplitSizes


@dataclass(frozen=True)
class FoldTest:
    """Differences of two sources, fold by fold.

    Attributes:
        mean: over folds.
        std: over folds (ddof 1); None with one fold.
        n_folds: where both are defined.
        t_p_value: two-sided, corrected for the training rows that folds share; None with one fold, or where every
            difference is the same, or where the sizes of the splits are not known.
        wilcoxon_p_value: two-sided signed ranks, exact; with five folds never below 0.0625; None where all are 0.
    """

    mean: float
    std: float | None
    n_folds: int
    t_p_value: float | None
    wilcoxon_p_value: float | None


def fold_test(differences: Sequence[float] | Mapping[str, float], sizes: SplitSizes | None = None) -> FoldTest | None:
    """Tests the mean difference against 0; None without a fold.

    Args:
        differences: by fold.
        sizes: of the folds; None: disjoint parts of one size. See ``split_sizes`` for what they do.

    >>> found = fold_test([0.02, 0.01, 0.03, -0.01, 0.02])
    >>> round(found.mean, 3), round(found.t_p_value, 3)
    (0.014, 0.241)
    """
    by_fold = differences if isinstance(differences, Mapping) else {str(k): v for k, v in enumerate(differences)}
    values = np.fromiter(by_fold.values(), dtype=np.float64)
    if not len(values):
        return None
    mean = float(values.mean())
    if len(values) < 2:
        return FoldTest(mean, None, 1, None, None)
    std = float(values.std(ddof=1))
    sizes = sizes or SplitSizes.k_fold(by_fold)
    error = standard_error(std, by_fold, sizes)
    known = error is not None and not is_rounding(std, mean)
    t_p_value = 2 * float(stats.t.sf(abs(mean) / error, sizes.freedom(by_fold))) if known and error else None
    signed = None if not values.any() else float(stats.wilcoxon(values, method="auto").pvalue)
    return FoldTest(mean, std, len(values), t_p_value, signed)
