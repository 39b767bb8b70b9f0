"""How far each row bears on an AUC: variances and tests of AUC (DeLong), also where rows come in groups.

An AUC is the share of (positive, negative) pairs that are in the right order. A row's share in it, less what it would
be on average, is its influence; the variance of the AUC is the sum of squares of the influences, summed within a
group first where rows of one patient or slide resemble one another. Influences of several AUCs may be added and
subtracted: the mean over folds or trials, or the difference of two sources on the same rows, has the sum of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm, rankdata
from scipy.stats import t as student


@dataclass(frozen=True)
class AucInfluence:
    """An AUC, or a sum of several, with the influence of every row on it.

    Attributes:
        value: the AUC, or the difference of two.
        influence: of each row; 0 for rows that it does not stand on.
        fewest_units: least number of groups (or rows) that hold a class in a fold. One alone has nothing to vary by,
            so that its part of the variance is not known.
    """

    value: float
    influence: Float[np.ndarray, " row"]
    fewest_units: int

    def __sub__(self, other: "AucInfluence") -> "AucInfluence":
        fewest = min(self.fewest_units, other.fewest_units)
        return AucInfluence(self.value - other.value, self.influence - other.influence, fewest)

    def standard_error(self, groups: Int[np.ndarray, " row"] | None) -> float:
        """Standard error where groups (None: rows) are independent of one another."""
        totals = self.influence if groups is None else np.bincount(groups, weights=self.influence)
        return float(np.sqrt((totals**2).sum()))


@dataclass(frozen=True)
class AucTest:
    """A two-sided test of a difference of AUC against 0; what is not known is None."""

    difference: float
    standard_error: float | None
    p_value: float | None


def auc_influence(
    labels: Int[np.ndarray, " row"],
    scores: Float[np.ndarray, "row class"],
    rows: Int[np.ndarray, " test"],
    *,
    groups: Int[np.ndarray, " row"] | None,
    positive: int | None,
) -> AucInfluence | None:
    """AUC of one fold's test rows and the influence of every row on it; None where a class is missing.

    With one row a group, the variance is DeLong's; with several, Obuchowski's for clustered data, but that the factor
    of its cross term is the geometric mean of the other two. With more than two classes, the mean over classes of one
    against the rest.

    Reference: DeLong, DeLong and Clarke-Pearson 1988; Sun and Xu 2014 (by ranks); Obuchowski 1997 (clusters).

    Args:
        labels: class of every row of the set.
        scores: of every row of the set.
        rows: the fold's test rows.
        groups: group of every row of the set, as numbers; None: each row is its own.
        positive: of two classes, the one that AUC speaks of; None with more.
    """
    n_classes = scores.shape[1]
    if len(np.unique(labels[rows])) < n_classes:
        return None
    wanted = range(n_classes) if positive is None else (positive,)
    own_groups = np.arange(len(rows)) if groups is None else groups[rows]
    value, influence, fewest = 0.0, np.zeros(len(labels)), len(rows)
    for number in wanted:
        one, share, units = _binary(labels[rows] == number, scores[rows, number], own_groups)
        value += one / len(wanted)
        influence[rows] += share / len(wanted)
        fewest = min(fewest, units)
    return AucInfluence(value, influence, fewest)


def mean_influence(parts: list[AucInfluence]) -> AucInfluence:
    """The mean of several AUCs: over folds, or over the trials of a source."""
    value = float(np.mean([part.value for part in parts]))
    influence = np.mean([part.influence for part in parts], axis=0)
    return AucInfluence(value, influence, min(part.fewest_units for part in parts))


def delong_test(
    one: AucInfluence,
    other: AucInfluence,
    *,
    groups: Int[np.ndarray, " row"] | None,
    folds: Sequence[Int[np.ndarray, " test"]] = (),
) -> AucTest:
    """Test of two AUCs on the same rows; the p-value is None where neither moves with any row.

    Rows: the normal distribution, as DeLong. Groups: Student's, since a variance of ten patients is uncertain itself
    (`Deviation:` Obuchowski takes the normal), with as many degrees of freedom as groups less folds: a fold's own
    mean takes one. Where a class is in one group of a fold, error and p-value are None.

    Args:
        one: an AUC.
        other: what is taken from it.
        groups: group of every row; None: each row is its own.
        folds: rows of each fold that the AUCs are means over; none: all rows are one fold.

    >>> labels, rows = np.array([0, 0, 1, 1]), np.arange(4)
    >>> scores = [np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]]), np.eye(2)[labels]]
    >>> one, other = (auc_influence(labels, s, rows, groups=None, positive=1) for s in scores)
    >>> delong_test(other, one, groups=None).difference
    0.25
    """
    difference = one - other
    if difference.fewest_units < 2:
        return AucTest(difference.value, None, None)
    error = difference.standard_error(groups)
    theory = norm
    if groups is not None:
        theory = student(sum(len(np.unique(groups[rows])) - 1 for rows in folds or [np.arange(len(groups))]))
    p_value = 2 * float(theory.sf(abs(difference.value) / error)) if error > 0 else None
    return AucTest(difference.value, error, p_value)


def _binary(
    is_positive: Bool[np.ndarray, " row"], scores: Float[np.ndarray, " row"], groups: np.ndarray
) -> tuple[float, Float[np.ndarray, " row"], int]:
    """AUC; each row's placement less the AUC over the number of its class; groups of the class that fewest hold."""
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    ranks = rankdata(scores)
    below = np.empty(len(scores))
    below[is_positive] = (ranks[is_positive] - rankdata(scores[is_positive])) / n_negative
    below[~is_positive] = 1 - (ranks[~is_positive] - rankdata(scores[~is_positive])) / n_positive
    auc = float(below[is_positive].mean())
    influence, fewest = np.empty(len(scores)), len(scores)
    for side, number in ((is_positive, n_positive), (~is_positive, n_negative)):
        n_groups = len(np.unique(groups[side]))
        fewest = min(fewest, n_groups)
        factor = n_groups / (n_groups - 1) if n_groups > 1 else 1.0
        influence[side] = (below[side] - auc) / number * np.sqrt(factor)
    return auc, influence, fewest
