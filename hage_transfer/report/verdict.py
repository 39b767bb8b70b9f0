"""The answer in a sentence: how much one feature source differs from another, and whether that is more than noise."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hage_transfer.report.runs import BASELINE, Run

NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "recall": "recall",
    "pcc_all": "PCC over all genes",
    "pcc_heg50": "PCC over the 50 highest genes",
}
TASKS = {"probe": "On patches", "mil": "On slides", "pretrain": "On genes"}


@dataclass(frozen=True)
class Difference:
    """A source less its baseline, paired by fold.

    Attributes:
        task: of the run.
        run: name of the run's folder.
        metric: which number.
        source: the one that is judged.
        baseline: the one it is judged against.
        mean: mean over folds of source - baseline.
        std: standard deviation over folds (ddof 1); None with one fold.
        margin: half width of the 95% interval; None with one fold.
        wins: folds in which the source is better.
        by_fold: the difference in each fold where both are defined.
        trials: mean difference of each of the source's trials, where it has several.
    """

    task: str
    run: str
    metric: str
    source: str
    baseline: str
    mean: float
    std: float | None
    margin: float | None
    wins: int
    by_fold: tuple[float, ...]
    trials: tuple[float, ...] = ()

    @property
    def folds(self) -> int:
        """How many folds have both."""
        return len(self.by_fold)

    @property
    def verdict(self) -> str:
        """``gain``, ``loss``, ``within noise``, or ``not judged`` where there is one fold."""
        if self.margin is None:
            return "not judged"
        if abs(self.mean) <= self.margin:
            return "within noise"
        return "gain" if self.mean > 0 else "loss"

    def sentence(self) -> str:
        """The difference in words, with its uncertainty."""
        what = f"{TASKS.get(self.task, self.task)} ({self.run}), {self.source} differs from {self.baseline}"
        what += f" by {self.mean:+.3f} in {NAMES.get(self.metric, self.metric)}"
        if self.margin is None or self.std is None:
            return f"{what}, in one fold: no spread is known, so this says nothing of other data."
        low, high = self.mean - self.margin, self.mean + self.margin
        what += f" (std over {self.folds} folds {self.std:.3f}, 95% interval {low:+.3f} to {high:+.3f}; "
        what += f"better in {self.wins} of {self.folds} folds"
        if len(self.trials) > 1:
            what += f"; single trials {min(self.trials):+.3f} to {max(self.trials):+.3f}"
        closing = {
            "within noise": "This is within noise: these folds cannot tell the two apart.",
            "gain": "The gain is larger than the spread over folds explains.",
            "loss": "The loss is larger than the spread over folds explains.",
        }
        return f"{what}). {closing[self.verdict]}"


def difference(run: Run, metric: str, source: str, baseline: str) -> Difference | None:
    """Compares two sources of a run fold by fold; None where no fold has both."""
    base = run.fold_values(baseline, metric)
    deltas = _paired(run.fold_values(source, metric), base)
    if not len(deltas):
        return None
    trials = [_paired(run.fold_values(source, metric, trial=trial), base) for trial in run.trials(source)]
    std = float(deltas.std(ddof=1)) if len(deltas) > 1 else None
    return Difference(
        task=run.task,
        run=run.path.name,
        metric=metric,
        source=source,
        baseline=baseline,
        mean=float(deltas.mean()),
        std=std,
        margin=None if std is None else interval_margin(std, len(deltas)),
        wins=int((deltas > 0).sum()),
        by_fold=tuple(deltas.tolist()),
        trials=tuple(float(values.mean()) for values in trials if len(values)),
    )


def differences(run: Run, metric: str) -> list[Difference]:
    """Every source of a classification run against ``frozen`` (or the first source where none has that name)."""
    baseline = BASELINE if BASELINE in run.sources else run.sources[0]
    found = [difference(run, metric, source, baseline) for source in run.sources if source != baseline]
    return [one for one in found if one is not None]


def interval_margin(std: float, folds: int) -> float:
    """Half width of a 95% interval of a mean over cross-validation folds.

    Folds share most of their training rows, so their differences are not independent and the plain t interval is too
    narrow. Corrected as Nadeau & Bengio 2003 ("Inference for the generalization error"): the variance of the mean is
    (1/k + n_test/n_train) s^2, with n_test/n_train = 1/(k - 1) here.
    """
    from scipy.stats import t

    return float(t.ppf(0.975, folds - 1) * std * np.sqrt(1 / folds + 1 / (folds - 1)))


def _paired(values: Mapping[str, float], base: Mapping[str, float]) -> np.ndarray:
    return np.array([values[fold] - base[fold] for fold in base if fold in values])
