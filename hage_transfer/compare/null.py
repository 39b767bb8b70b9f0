"""How often this very set calls equal sources different, and the smallest difference that its folds can show.

Both are measured on copies of the frozen features that carry the same information (rotated, with noise of their own):
any two of them are equal by construction, so a verdict on them is a false alarm, and what their folds differ by is
noise. The smallest difference is the one that, added to every fold of such a pair, becomes a verdict in 80% of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from statistics import mean
from typing import Any, TypeVar

from hage_transfer.compare.differences import METRIC_NAMES, Difference, paired_difference, verdict_of
from hage_transfer.compare.results import Results
from hage_transfer.compare.split_sizes import SplitSizes, sizes_of

Trials = TypeVar("Trials")
META = "null"
METRICS = ("auc", "accuracy", "recall")
POWER = 0.8
_STEPS = 40


@dataclass(frozen=True)
class Null:
    """What equal sources do on the folds of a set.

    Attributes:
        metric: which number.
        copies: equal sources.
        pairs: of them that were compared.
        false_alarms: share of pairs with a verdict, wanted at most 0.05.
        detectable: smallest difference that ends in a verdict with probability ``POWER``; None where no spread is
            known of the pairs.
        std: mean standard deviation over folds of a pair's difference.
        folds: how many.
        rows: rows of the set.
    """

    metric: str
    copies: int
    pairs: int
    false_alarms: float
    detectable: float | None
    std: float
    folds: int
    rows: int

    def sentence(self, what: str = "rows") -> str:
        """In words."""
        name = METRIC_NAMES.get(self.metric, self.metric)
        shown = (
            "no spread is known"
            if self.detectable is None
            else f"{self.rows:,d} {what} in {self.folds} folds can show a difference of {self.detectable:.3f} or more "
            f"in {name} (power {POWER:g})"
        )
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
    return Null(
        metric=metric,
        copies=len(copies),
        pairs=len(pairs),
        false_alarms=mean(alarms),
        detectable=detectable(pairs),
        std=mean(one.std or 0.0 for one in pairs),
        folds=max(one.folds for one in pairs),
        rows=rows,
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
        copies = [of_copies.fold_values(source, metric, trial=trial) for trial in of_copies.trials(source)]
        if len(copies) > 1 and all(copies):
            sizes = sizes_of(of_copies.meta, copies[0])
            found[metric] = null_of(copies, sizes, metric=metric, rows=int(results.meta["rows"])).meta()
    return replace(results, meta={**results.meta, META: found})


def null_in(results: Results, metric: str | None = None) -> Null | None:
    """What the copies of a run said of a metric (None: its main one); None where it had none."""
    found = results.meta.get(META, {}).get(metric or results.main_metric)
    return None if found is None else Null(**found)


def detectable(pairs: Sequence[Difference], *, power: float = POWER) -> float | None:
    """Smallest shift of every fold with which a share ``power`` of null differences is called a gain."""
    known = [(sign * one.mean, one.margin) for one in pairs if one.margin is not None for sign in (1, -1)]
    if not known:
        return None
    low, high = 0.0, max(margin - value for value, margin in known)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        share = mean(verdict_of(value + middle, margin) == "gain" for value, margin in known)
        low, high = (low, middle) if share >= power else (middle, high)
    return high
