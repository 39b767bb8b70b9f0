"""Intervals of a mean by bootstrap over patients: sections of one patient resemble one another and count together."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from hage_transfer.errors import DataError

MIN_GROUPS = 3
N_RESAMPLES = 9999
_DRAWN_AT_A_TIME = 1 << 24
"""Groups drawn before they are summed: it bounds memory; the draws are the same whatever it is."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over units and its bootstrap interval.

    Attributes:
        mean: over all units, each counted once; NaN where there is none.
        low: lower end; None where no interval can be given.
        high: upper end; None likewise.
        level: wanted coverage, such as 0.95.
        n_units: values (sections, folds).
        n_groups: patients that they belong to.
        reason: why there is no interval; None where there is one.
    """

    mean: float
    low: float | None
    high: float | None
    level: float
    n_units: int
    n_groups: int
    reason: str | None = None


def cluster_bootstrap(
    values: Sequence[float] | Float[np.ndarray, " unit"],
    groups: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    method: Literal["percentile", "BCa"] = "percentile",
    seed: int = 0,
) -> Interval:
    """Interval of the mean of ``values`` over units, resampling whole groups.

    Groups (patients) are drawn with replacement, as many as there are, each with all of its units; the statistic is
    the mean over the units drawn. The same values, groups and seed give the same interval.

    With few patients such an interval is too short: in simulations with equal, normally distributed patients the 95%
    percentile interval covers the truth in about 76% of cases with 3 patients, 88% with 7 and 93% with 20 (BCa: 73%,
    88%, 92%).

    Reference: Davison and Hinkley 1997, section 3.8 (resampling whole clusters); Efron 1987 (BCa).

    Args:
        values: one number a unit.
        groups: group of each unit.
        level: coverage, between 0 and 1.
        n_resamples: draws.
        method: ``percentile``, or ``BCa`` (corrected for bias and skewness by leaving out each group in turn).
        seed: of the draws.

    Returns:
        The interval; ``low`` and ``high`` are None with a ``reason`` where fewer than three groups are there, since
        so few say nothing of how patients differ.

    Raises:
        DataError: lengths differ, or a value is NaN or infinite (leave undefined scores out, and say how many).

    >>> found = cluster_bootstrap([0.1, 0.2, 0.3, 0.4], ["A", "A", "B", "C"])
    >>> found.mean, found.n_groups, found.low < found.mean < found.high
    (0.25, 3, True)
    """
    numbers = np.asarray(values, dtype=np.float64)
    _check(numbers, groups)
    position = {group: row for row, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([position[group] for group in groups], dtype=np.int64)
    sums, sizes = (np.bincount(codes, weights=weights, minlength=len(position)) for weights in (numbers, None))
    mean = float(numbers.mean()) if len(numbers) else float("nan")
    n_units, n_groups = len(numbers), len(position)
    if n_groups < MIN_GROUPS:
        reason = f"{n_groups} patients; an interval by patient needs at least {MIN_GROUPS}"
        return Interval(mean=mean, low=None, high=None, level=level, n_units=n_units, n_groups=n_groups, reason=reason)
    if np.ptp(sums / sizes) == 0:
        return Interval(mean=mean, low=mean, high=mean, level=level, n_units=n_units, n_groups=n_groups)
    interval = stats.bootstrap(
        (sums, sizes),
        _ratio,
        paired=True,
        vectorized=True,
        n_resamples=n_resamples,
        batch=min(n_resamples, max(1, _DRAWN_AT_A_TIME // n_groups)),
        confidence_level=level,
        method=method,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(
        mean=mean, low=float(interval.low), high=float(interval.high), level=level, n_units=n_units, n_groups=n_groups
    )


def paired_bootstrap(
    values: Sequence[float] | Float[np.ndarray, " unit"],
    others: Sequence[float] | Float[np.ndarray, " unit"],
    groups: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    method: Literal["percentile", "BCa"] = "percentile",
    seed: int = 0,
) -> Interval:
    """Interval of the mean difference ``values - others`` of two sources on the same units; as ``cluster_bootstrap``.

    Raises:
        DataError: as ``cluster_bootstrap``, or the two sides differ in length.

    >>> paired_bootstrap([0.3, 0.4], [0.1, 0.3], ["A", "B"]).reason
    '2 patients; an interval by patient needs at least 3'
    """
    left, right = np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if left.shape != right.shape:
        raise DataError(f"paired values are of the same units, these have lengths {left.shape} and {right.shape}")
    return cluster_bootstrap(left - right, groups, level=level, n_resamples=n_resamples, method=method, seed=seed)


def _ratio(sums: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean over the units of the groups drawn."""
    return np.asarray(sums.sum(axis=axis) / sizes.sum(axis=axis))


def _check(values: Float[np.ndarray, " unit"], groups: Sequence[Hashable]) -> None:
    if values.ndim != 1 or len(values) != len(groups):
        raise DataError(f"one group a value is wanted, met values of shape {values.shape} and {len(groups)} groups")
    if not np.isfinite(values).all():
        wrong = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"value {wrong} of {len(values)} is {values[wrong]}; leave undefined scores out before")
