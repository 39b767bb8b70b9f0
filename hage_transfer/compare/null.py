"""How often this very set calls equal sources different, and the smallest difference that its folds can show.

Both are measured on copies of the frozen features that carry the same information (rotated, with noise of their own):
any two of them are equal by construction, so a verdict on them is a false alarm, and what their folds differ by is
noise. The smallest difference is the one that, given to one copy of every pair, becomes a verdict in 80% of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from statistics import mean
from typing import Any, TypeVar

import numpy as np
from scipy.stats import norm

from hage_transfer.compare.differences import LOWER_IS_BETTER, METRIC_NAMES, paired_difference, t_quantile
from hage_transfer.compare.results import Results
from hage_transfer.compare.split_sizes import SplitSizes, sizes_of

Trials = TypeVar("Trials")
META = "null"
METRICS = ("auc", "accuracy", "recall")
POWER = 0.8
UNBOUNDED = LOWER_IS_BETTER | {"r2"}
"""Metrics whose best is no 1, or whose worst has no end: what is said of copies holds for the others."""
_STEPS = 40
_FARTHEST = 8.0
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Null:
    """What equal sources do on the folds of a set.

    Attributes:
        metric: which number.
        copies: equal sources.
        pairs: of them that were compared.
        false_alarms: share of pairs with a verdict, wanted at most 0.05.
        detectable: smallest difference that ends in the verdict "gain" with probability ``POWER``; None where none
            does.
        std: mean standard deviation over folds of a pair's difference.
        folds: how many.
        rows: rows of the set.
        shown: share of pairs that are called a gain with that difference or, where there is none, with perfect scores;
            None in results of earlier versions.
    """

    metric: str
    copies: int
    pairs: int
    false_alarms: float
    detectable: float | None
    std: float
    folds: int
    rows: int
    shown: float | None = None

    def sentence(self, what: str = "rows") -> str:
        """In words."""
        name = METRIC_NAMES.get(self.metric, self.metric)
        where = f"{self.rows:,d} {what} in {self.folds} folds"
        shown = f"{where} can show a difference of {self.detectable or 0:.3f} or more in {name} (power {POWER:g})"
        if self.detectable is None:
            shown = f"{where} show no difference in {name} with power {POWER:g}"
            shown += "" if not self.shown else f": one of perfect scores in {self.shown:.0%} of pairs alone"
        return (
            f"Null: {self.copies} copies of the frozen features that carry the same information, {self.pairs} pairs: "
            f"{self.false_alarms:.1%} are called different (5% wanted); {shown}."
        )

    def meta(self) -> dict[str, Any]:
        """As it stands in the meta of results."""
        return asdict(self)


def null_of(copies: Sequence[Mapping[str, float]], sizes: SplitSizes, *, metric: str, rows: int) -> Null:
    """What the verdict says of copies that are equal.

    Pairs of few copies share members, so their share of false alarms has a wide error: with 20 copies it is known to
    about 5 percentage points.

    Args:
        copies: the metric by fold, of each copy; two at least.
        sizes: of the folds.
        metric: its name.
        rows: of the set.
    """
    found = [
        paired_difference(one, other, metric=metric, source="copy", baseline="copy", sizes=sizes)
        for one, other in combinations(copies, 2)
    ]
    pairs = [one for one in found if one is not None]
    alarms = [one.verdict in ("gain", "loss") for one in pairs]
    smallest, shown = detectable(copies, sizes)
    return Null(
        metric=metric,
        copies=len(copies),
        pairs=len(pairs),
        false_alarms=mean(alarms),
        detectable=smallest,
        std=mean(one.std or 0.0 for one in pairs),
        folds=max(one.folds for one in pairs),
        rows=rows,
        shown=shown,
    )


def baseline_trials(sources: Mapping[str, Trials]) -> Trials:
    """The trials of ``frozen``, or of the first source where none has that name."""
    return sources["frozen"] if "frozen" in sources else next(iter(sources.values()))


def with_null(results: Results, of_copies: Results) -> Results:
    """Results with what their copies say in ``meta``, by metric.

    Args:
        results: of the run.
        of_copies: of the copies on the same folds, a trial each, of one source.
    """
    source = of_copies.sources[0]
    found = {}
    for metric in results.meta.get("metrics") or METRICS:
        if metric in UNBOUNDED:
            continue
        copies = [of_copies.fold_values(source, metric, trial=trial) for trial in of_copies.trials(source)]
        if len(copies) > 1 and all(copies):
            sizes = sizes_of(of_copies.meta, copies[0])
            found[metric] = null_of(copies, sizes, metric=metric, rows=int(results.meta["rows"])).meta()
    return replace(results, meta={**results.meta, META: found})


def null_in(results: Results, metric: str | None = None) -> Null | None:
    """What the copies of a run said of a metric (None: its main one); None where it had none."""
    found = results.meta.get(META, {}).get(metric or results.main_metric)
    return None if found is None else Null(**found)


def detectable(
    copies: Sequence[Mapping[str, float]], sizes: SplitSizes, *, power: float = POWER
) -> tuple[float | None, float]:
    """Smallest mean difference with which a share ``power`` of pairs is called a gain.

    One copy of every pair is made better by moving its folds' scores along the normal quantiles (as a longer distance
    of the classes moves an AUC), so that they spread less the nearer they come to 1, as a better source's do; a plain
    shift would say a difference that is a third too large.

    Args:
        copies: a metric between 0 and 1 by fold, of each copy.
        sizes: of the folds.
        power: share of pairs.

    Returns:
        The difference, None where even perfect scores are not shown so often (or no spread is known), and the share
        that is called a gain with it or, for None, with perfect scores.
    """
    folds = [fold for fold in copies[0] if all(fold in one for one in copies)]
    ratio = sizes.ratio(folds)
    if ratio is None or len(folds) < 2:
        return None, 0.0
    values = np.array([[one[fold] for fold in folds] for one in copies])
    least = np.array([1 / (2 * sizes.test[fold]) for fold in folds])
    quantiles = norm.ppf(np.clip(values, np.minimum(least, 0.5), 1.0))
    of_pairs = ~np.eye(len(values), dtype=bool)
    reach = t_quantile(sizes.freedom(folds)) * math.sqrt(1 / len(folds) + ratio)

    def shown(shift: float) -> tuple[float, float]:
        differences = (norm.cdf(quantiles + shift)[:, None] - values)[of_pairs]
        means, margins = differences.mean(axis=1), reach * differences.std(axis=1, ddof=1)
        return float(np.mean((means > margins) & (margins > _ROUNDING))), float(means.mean())

    low, high = 0.0, _FARTHEST
    most, _ = shown(high)
    if most < power:
        return None, most
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle)[0] >= power else (middle, high)
    share, difference = shown(high)
    return difference, share
