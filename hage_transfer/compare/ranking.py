"""Sources of a comparison ranked by a metric, each beside the leader and beside the baseline by the paired test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from hage_transfer.compare.differences import METRIC_NAMES, TASKS
from hage_transfer.compare.results import Results


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One source's place.

    Attributes:
        source: its name.
        mean: of the metric over folds; a fold's value is the mean of the trials.
        std: over folds (ddof 1); None with one fold.
        trials: how many there are.
        from_leader: mean difference from the leader; None of the leader itself.
        from_leader_interval: its 95% interval, where a spread is known.
        tied: whether the folds cannot tell it from the leader; true of the leader.
        from_baseline: mean difference from the baseline; None of the baseline itself.
        from_baseline_interval: its 95% interval, where a spread is known.
        verdict: of the difference from the baseline; empty of the baseline itself.
    """

    source: str
    mean: float
    std: float | None
    trials: int
    from_leader: float | None
    from_leader_interval: tuple[float, float] | None
    tied: bool
    from_baseline: float | None
    from_baseline_interval: tuple[float, float] | None
    verdict: str

    def row(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)


def ranking(results: Results, metric: str = "auc") -> list[Ranked]:
    """Every source that has the metric, the highest mean first.

    >>> from hage_transfer.compare.records import Record
    >>> rows = [Record(task="probe", source=name, split="test", fold=str(k), trial=None, metric="auc",
    ...                value=v + k / 100)
    ...         for name, v in (("frozen", 0.80), ("hage", 0.83)) for k in range(3)]
    >>> [(one.source, one.tied, round(one.from_baseline or 0.0, 2)) for one in ranking(Results(rows))]
    [('hage', True, 0.03), ('frozen', True, 0.0)]
    """
    means = {source: mean(found) for source in results.sources if (found := _values(results, source, metric))}
    order = sorted(means, key=lambda source: -means[source])
    return [_ranked(results, source, metric, leader=order[0]) for source in order]


def sentence(ranked: Sequence[Ranked], results: Results, metric: str = "auc") -> str:
    """Who leads and who cannot be told from it, in words."""
    first, *others = ranked
    tied = [one.source for one in others if one.tied]
    below = len(others) - len(tied)
    what = f"{TASKS.get(results.task, results.task)}{f' ({results.name})' if results.name else ''}"
    text = f"{what}, {first.source} has the highest {METRIC_NAMES.get(metric, metric)} ({first.mean:.3f})"
    if not tied:
        return f"{text}; each of the {below} others is lower by more than the folds' spread explains."
    text += f"; these folds cannot tell it from {len(tied)} of the {len(others)} others: {', '.join(tied)}."
    return f"{text} The leader was picked on these very folds, which flatters it."


def _ranked(results: Results, source: str, metric: str, *, leader: str) -> Ranked:
    values = _values(results, source, metric)
    lead = results.difference(source, leader, metric) if source != leader else None
    base = results.difference(source, results.baseline, metric) if source != results.baseline else None
    return Ranked(
        source=source,
        mean=mean(values),
        std=stdev(values) if len(values) > 1 else None,
        trials=max(len(results.trials(source)), 1),
        from_leader=None if lead is None else lead.mean,
        from_leader_interval=None if lead is None else lead.interval,
        tied=lead is None or lead.verdict != "loss",
        from_baseline=None if base is None else base.mean,
        from_baseline_interval=None if base is None else base.interval,
        verdict="" if base is None else base.verdict,
    )


def _values(results: Results, source: str, metric: str) -> list[float]:
    return list(results.fold_values(source, metric).values())
