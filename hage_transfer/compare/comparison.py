"""What a comparison of feature sources may claim: intervals by group, and paired tests against a baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

from hage_transfer.compare.auc_bootstrap import MAX_GROUPS, auc_draws
from hage_transfer.compare.auc_influence import AucInfluence, auc_influence, delong_test, mean_influence
from hage_transfer.compare.bootstrap import MIN_GROUPS, cluster_bootstrap
from hage_transfer.compare.classification import METRICS
from hage_transfer.compare.fold_tests import fold_test
from hage_transfer.compare.out_of_fold import OutOfFold
from hage_transfer.compare.records import MEAN, STD, Record
from hage_transfer.compare.split_sizes import SplitSizes

LEVEL = 0.95
N_RESAMPLES = 5000


@dataclass(frozen=True)
class LabelledFolds:
    """What every source was tested on.

    Attributes:
        labels: class of every row of the set.
        folds: a fold's name to its test rows.
        groups: group of every row, as numbers; None where the set has none, and rows stand for themselves.
        positive: of two classes, the one that AUC speaks of; None with more.
        sizes: of the folds; None: disjoint parts of one size.
    """

    labels: Int[np.ndarray, " row"]
    folds: Mapping[str, Int[np.ndarray, " test"]]
    groups: Int[np.ndarray, " row"] | None
    positive: int | None
    sizes: SplitSizes | None = None

    @property
    def all_rows(self) -> Int[np.ndarray, " test"]:
        """Test rows of all folds, ascending."""
        return np.sort(np.concatenate(list(self.folds.values())))

    @property
    def units(self) -> Int[np.ndarray, " row"]:
        """What is drawn again: groups, or rows where there are none."""
        return np.arange(len(self.labels)) if self.groups is None else self.groups

    @property
    def unit_name(self) -> str:
        """``group`` or ``row``."""
        return "row" if self.groups is None else "group"

    def few_units(self) -> bool:
        """Whether units are few enough to be drawn again; else normal theory serves as well."""
        return len(np.unique(self.units[self.all_rows])) <= MAX_GROUPS


def source_intervals(predictions: Sequence[OutOfFold], tested: LabelledFolds, *, seed: int = 0) -> list[dict[str, Any]]:
    """Accuracy and AUC of each source with a 95% interval over groups; trials are averaged.

    Accuracy counts every test row once; AUC is the mean over folds. ``method`` says how the interval was made; where
    fewer than three groups are there it is left out, with a ``reason``.
    """
    found = []
    for source, trials in _by_source(predictions).items():
        right = _right(trials, tested)
        found.append({"source": source, "metric": "accuracy", **_mean_interval(right, tested, seed=seed)})
        influence = _influence(trials, tested)
        if influence is not None:
            draws = _draws(trials, tested, seed=seed)
            found.append({"source": source, "metric": "auc", **_auc_interval(influence, draws, tested)})
    return found


def paired_tests(
    predictions: Sequence[OutOfFold], records: Sequence[Record], tested: LabelledFolds, *, baseline: str, seed: int = 0
) -> list[dict[str, Any]]:
    """Every other source less the baseline, in every metric: over folds, by DeLong (AUC) and by bootstrap over groups.

    Args:
        predictions: of every source and trial.
        records: their metrics by fold; rows of trial None are taken.
        tested: what they were tested on.
        baseline: a source.
        seed: of the draws, the same for both sides.
    """
    trials = _by_source(predictions)
    found = fold_tests(records, METRICS, tested.sizes, sources=list(trials), baseline=baseline)
    return [row | _by_rows(row["metric"], trials[row["source"]], trials[baseline], tested, seed=seed) for row in found]


def fold_tests(
    records: Sequence[Record],
    metrics: Sequence[str],
    sizes: SplitSizes | None,
    *,
    sources: Sequence[str],
    baseline: str,
) -> list[dict[str, Any]]:
    """Every other source less the baseline, in every metric that some fold has of both, over folds."""
    found = []
    for source in sources:
        if source == baseline:
            continue
        for metric in metrics:
            values = [_fold_values(records, name, metric) for name in (source, baseline)]
            shared = {fold: values[0][fold] - values[1][fold] for fold in values[1] if fold in values[0]}
            test = fold_test(shared, sizes)
            if test is not None:
                found.append({"source": source, "baseline": baseline, "metric": metric, **asdict(test)})
    return found


def _by_rows(
    metric: str, one: Sequence[np.ndarray], other: Sequence[np.ndarray], tested: LabelledFolds, *, seed: int
) -> dict[str, Any]:
    """What the rows themselves say of a difference: interval by group, and DeLong's test."""
    if metric == "accuracy":
        interval = _mean_interval(_right(one, tested) - _right(other, tested), tested, seed=seed)
        return {"low": interval["low"], "high": interval["high"], "interval_by": interval["method"]}
    if metric != "auc":
        return {}
    ours, theirs = _influence(one, tested), _influence(other, tested)
    if ours is None or theirs is None:
        return {}
    draws = [_draws(side, tested, seed=seed) for side in (one, other)]
    difference = None if draws[0] is None or draws[1] is None else draws[0] - draws[1]
    interval = _auc_interval(ours - theirs, difference, tested)
    delong = delong_test(ours, theirs, groups=tested.groups, folds=list(tested.folds.values()))
    return {
        "low": interval["low"],
        "high": interval["high"],
        "interval_by": interval["method"],
        "delong_by": tested.unit_name,
        "delong_standard_error": delong.standard_error,
        "delong_p_value": delong.p_value,
    }


def _by_source(predictions: Sequence[OutOfFold]) -> dict[str, list[Float[np.ndarray, "row class"]]]:
    found: dict[str, list[np.ndarray]] = {}
    for prediction in predictions:
        found.setdefault(prediction.source, []).append(prediction.probabilities)
    return found


def _fold_values(records: Sequence[Record], source: str, metric: str) -> dict[str, float]:
    return {
        r.fold: r.value
        for r in records
        if (r.source, r.metric, r.trial, r.split) == (source, metric, None, "test")
        and r.fold not in (MEAN, STD)
        and r.value is not None
    }


def _right(trials: Sequence[np.ndarray], tested: LabelledFolds) -> Float[np.ndarray, " test"]:
    """Share of trials that are right about each test row."""
    rows = tested.all_rows
    return np.mean([shares[rows].argmax(axis=1) == tested.labels[rows] for shares in trials], axis=0)


def _influence(trials: Sequence[np.ndarray], tested: LabelledFolds) -> AucInfluence | None:
    found = [
        auc_influence(tested.labels, shares, rows, groups=tested.groups, positive=tested.positive)
        for shares in trials
        for rows in tested.folds.values()
    ]
    parts = [part for part in found if part is not None]
    return mean_influence(parts) if parts else None


def _draws(trials: Sequence[np.ndarray], tested: LabelledFolds, *, seed: int) -> Float[np.ndarray, " resample"] | None:
    if not tested.few_units():
        return None
    return auc_draws(
        tested.labels,
        trials,
        tested.folds,
        tested.units,
        positive=tested.positive,
        n_resamples=N_RESAMPLES,
        seed=seed,
    )


def _auc_interval(
    influence: AucInfluence, draws: Float[np.ndarray, " resample"] | None, tested: LabelledFolds
) -> dict[str, Any]:
    n_units = len(np.unique(tested.units[tested.all_rows]))
    facts: dict[str, Any] = {"mean": influence.value, "low": None, "high": None, "level": LEVEL, "n_units": n_units}
    if n_units < MIN_GROUPS:
        return facts | {"method": None, "reason": f"{n_units} {tested.unit_name}s; an interval needs {MIN_GROUPS}"}
    if draws is None:
        margin = float(norm.ppf((1 + LEVEL) / 2)) * influence.standard_error(tested.groups)
        ends = {"low": influence.value - margin, "high": influence.value + margin}
        return facts | ends | {"method": f"DeLong by {tested.unit_name}", "reason": None}
    defined = draws[np.isfinite(draws)]
    if len(defined) < len(draws) / 2:
        return facts | {"method": None, "reason": "most draws lack a class in every fold: too few groups hold each"}
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    method = f"bootstrap by {tested.unit_name}"
    return facts | {"low": float(low), "high": float(high), "method": method, "reason": None}


def _mean_interval(values: Float[np.ndarray, " test"], tested: LabelledFolds, *, seed: int) -> dict[str, Any]:
    units = tested.units[tested.all_rows]
    if tested.groups is not None or tested.few_units():
        interval = cluster_bootstrap(values, units.tolist(), level=LEVEL, n_resamples=N_RESAMPLES, seed=seed)
        method = f"bootstrap by {tested.unit_name}" if interval.reason is None else None
        ends = interval.mean, interval.low, interval.high, interval.n_groups, method, interval.reason
    else:
        margin = float(norm.ppf((1 + LEVEL) / 2) * values.std() / np.sqrt(len(values)))
        mean = float(values.mean())
        ends = mean, mean - margin, mean + margin, len(values), "normal by row", None
    mean, low, high, n_units, method, reason = ends
    return {
        "mean": mean, "low": low, "high": high, "level": LEVEL, "n_units": n_units, "method": method, "reason": reason
    }  # fmt: skip
