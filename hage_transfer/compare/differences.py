"""How much one source scores above another, fold by fold, and whether that is more than noise."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from hage_transfer.compare.records import spread
from hage_transfer.compare.split_sizes import SplitSizes

METRIC_NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "recall": "recall",
    "pcc_all": "PCC over all genes",
    "pcc_heg50": "PCC over the 50 highest genes",
    "c_index": "C-index",
    "c_index_ipcw": "C-index (IPCW)",
    "time_auc": "time-dependent AUC",
    "integrated_brier": "integrated Brier score",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "r2": "R2",
    "mae": "MAE",
    "kappa": "quadratic-weighted kappa",
    "average_precision": "average precision",
}
LOWER_IS_BETTER = frozenset({"mse", "mae", "mse_calibrated", "mae_calibrated", "calibration_error", "integrated_brier"})
TASKS = {"probe": "On patches", "mil": "On slides", "pretrain": "On genes"}
_CLOSING = {
    "within noise": "This is within noise: these folds cannot tell the two apart.",
    "gain": "The gain is larger than the spread over folds explains.",
    "loss": "The loss is larger than the spread over folds explains.",
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A source minus its baseline, paired by fold.

    Attributes:
        task: of the run.
        run: name of the run; empty where it has none.
        metric: which number.
        source: the one that is judged.
        baseline: the one it is judged against.
        mean: mean over folds of source - baseline.
        std: standard deviation over folds (ddof 1); None with one fold.
        standard_error: of the mean, with the splits' own sizes; None with one fold, or where sizes are not known.
        freedom: its degrees of freedom.
        margin: half width of the 95% interval; None likewise, or where every fold differs by the same.
        wins: folds in which the source is better (lower, where the metric is an error).
        by_fold: the difference in each fold where both are defined.
        trials: mean difference of each of the source's trials, where it has several.
        unit: what the values are of, ``fold`` or ``patient``.
    """

    task: str
    run: str
    metric: str
    source: str
    baseline: str
    mean: float
    std: float | None
    standard_error: float | None
    freedom: float
    margin: float | None
    wins: int
    by_fold: tuple[float, ...]
    trials: tuple[float, ...] = ()
    unit: str = "fold"

    @property
    def folds(self) -> int:
        """How many folds (or patients) have both."""
        return len(self.by_fold)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean; None where no spread is known."""
        return None if self.margin is None else (self.mean - self.margin, self.mean + self.margin)

    @property
    def verdict(self) -> str:
        """``gain``, ``loss``, ``within noise``, or ``not judged`` where no spread is known."""
        return verdict_of(-self.mean if self.metric in LOWER_IS_BETTER else self.mean, self.margin)

    @property
    def no_spread(self) -> str:
        """Why no spread is known, where ``margin`` is None."""
        if self.folds == 1:
            return f"one {self.unit}"
        if self.standard_error is None:
            return "the sizes of its splits are not recorded: run it again, what is done is kept"
        return f"every {self.unit} alike"

    def brief(self) -> str:
        """The difference in few words; its mean and verdict stand beside them."""
        what = f"{TASKS.get(self.task, self.task)}" + (f" ({self.run})" if self.run else "")
        what += f": {self.source} minus {self.baseline}, {METRIC_NAMES.get(self.metric, self.metric)}"
        if self.interval is None:
            return f"{what}. {self.no_spread.capitalize()}, so no spread is known."
        low, high = self.interval
        return f"{what}. 95% interval {low:+z.3f} to {high:+z.3f}; better in {self.wins} of {self.folds} {self.unit}s."

    def sentence(self) -> str:
        """The difference in words, with its uncertainty."""
        what = TASKS.get(self.task, self.task) + (f" ({self.run})" if self.run else "")
        what += f", {self.source} differs from {self.baseline}"
        what += f" by {self.mean:+z.3f} in {METRIC_NAMES.get(self.metric, self.metric)}"
        if self.interval is None:
            return f"{what}, in {self.no_spread}: no spread is known, so this says nothing of other data."
        low, high = self.interval
        what += f" (std over {self.folds} {self.unit}s {self.std:.3f}, 95% interval {low:+z.3f} to {high:+z.3f}; "
        what += f"better in {self.wins} of {self.folds} {self.unit}s"
        if len(self.trials) > 1:
            what += f"; single trials {min(self.trials):+z.3f} to {max(self.trials):+z.3f}"
        return f"{what}). {_CLOSING[self.verdict].replace('fold', self.unit)}"


def paired_difference(
    values: Mapping[str, float],
    base: Mapping[str, float],
    *,
    metric: str,
    source: str,
    baseline: str,
    task: str = "",
    run: str = "",
    trials: Sequence[Mapping[str, float]] = (),
    sizes: SplitSizes | None = None,
    unit: str = "fold",
) -> Difference | None:
    """Compares two sources fold by fold; None where no fold has both.

    Args:
        values: the source's metric by fold.
        base: the baseline's.
        metric: its name.
        source: name of the one that is judged.
        baseline: name of the one it is judged against.
        task: ``probe``, ``mil`` or ``pretrain``.
        run: name of the run.
        trials: the source's metric by fold, of each of its trials.
        sizes: of the folds; None: disjoint parts of one size, all of which trained or were tested.
        unit: what a fold is called, ``fold`` or ``patient``.

    >>> hage, frozen = {"0": 0.81, "1": 0.92}, {"0": 0.80, "1": 0.90}
    >>> found = paired_difference(hage, frozen, metric="auc", source="hage", baseline="frozen")
    >>> found.wins, round(found.mean, 3), found.verdict
    (2, 0.015, 'within noise')
    """
    pairs = _paired(values, base)
    if not pairs:
        return None
    deltas = list(pairs.values())
    std = spread(deltas)
    sizes = sizes or SplitSizes.k_fold(pairs)
    error = None if std is None else standard_error(std, pairs, sizes)
    freedom = 0.0 if error is None else sizes.freedom(pairs)
    alike = std is not None and is_rounding(std, mean(deltas))
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return Difference(
        task=task,
        run=run,
        metric=metric,
        source=source,
        baseline=baseline,
        mean=mean(deltas),
        std=std,
        standard_error=error,
        freedom=freedom,
        margin=None if error is None or alike else t_quantile(freedom) * error,
        wins=sum(sign * delta > 0 for delta in deltas),
        by_fold=tuple(deltas),
        trials=tuple(mean(own.values()) for one in trials if (own := _paired(one, base))),
        unit=unit,
    )


def is_rounding(std: float, value: float) -> bool:
    """Whether a spread about a mean is 0 but for rounding."""
    return std <= 1e-12 * max(1.0, abs(value))


def verdict_of(value: float, margin: float | None) -> str:
    """``gain``, ``loss``, ``within noise``, or ``not judged`` without a margin; higher values are better."""
    if margin is None:
        return "not judged"
    if abs(value) <= margin:
        return "within noise"
    return "gain" if value > 0 else "loss"


def standard_error(std: float, folds: Collection[str], sizes: SplitSizes) -> float | None:
    """Of a mean over splits: sqrt(1/J + n_test/n_train) s (``split_sizes``); None where a size is not known."""
    ratio = sizes.ratio(folds)
    return None if ratio is None else std * math.sqrt(1 / len(folds) + ratio)


def t_quantile(degrees_of_freedom: float) -> float:
    """The 97.5% point of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, degrees_of_freedom))


def _paired(values: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    """Differences of the folds that both have; one that is rounding, as of a mean over equal trials, is a tie."""
    pairs = {fold: (values[fold], base[fold]) for fold in base if fold in values}
    return {
        fold: 0.0 if is_rounding(abs(value - other), other) else value - other for fold, (value, other) in pairs.items()
    }
