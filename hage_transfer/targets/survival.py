"""Survival: a risk, and the share that has no event by each horizon; by Cox's model or by hazards of intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit

from hage_transfer.targets.base import Fitted, Target
from hage_transfer.targets.pairs import concordance_draws
from hage_transfer.targets.survival_metrics import survival_metrics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Survival(Target):
    """Values are time and event (1 seen, 0 censored); a higher risk is an earlier event.

    Attributes:
        horizons: times at which survival is predicted and judged, ascending.
    """

    horizons: tuple[float, ...]
    kind: ClassVar[str] = "survival"
    metrics: ClassVar[tuple[str, ...]] = ("c_index", "c_index_ipcw", "time_auc", "integrated_brier")
    chance: ClassVar[float] = 0.5

    @property
    def score_names(self) -> tuple[str, ...]:
        """Risk, then survival at each horizon."""
        return ("risk", *(f"survival_{time:.6g}" for time in self.horizons))

    @property
    def main_scores(self) -> tuple[str, ...]:
        """The risk."""
        return ("risk",)

    def measure(self, values: np.ndarray, scores: np.ndarray, *, training: np.ndarray) -> dict[str, float | None]:
        """See ``survival_metrics``."""
        return survival_metrics(values, scores, self.horizons, training=training)

    def resampled(self, values: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Harrell's C of every draw from one table of pairs."""
        return concordance_draws(values, scores[:, 0], weights)

    def summary(self, values: np.ndarray) -> dict[str, float]:
        """Events, those censored, and the median time of each."""
        seen = values[:, 1] > 0
        times = {"events": values[seen, 0], "censored": values[~seen, 0]}
        medians = {f"median time of {name}": float(np.median(found)) for name, found in times.items() if len(found)}
        return {name: float(len(found)) for name, found in times.items()} | medians

    def columns(self, values: np.ndarray, scores: np.ndarray) -> Mapping[str, np.ndarray]:
        """Time and event."""
        return {"time": values[:, 0], "event": values[:, 1].astype(int)}


@dataclass(frozen=True)
class Cox(Survival):
    """Proportional hazards: the output is the log risk; the baseline hazard is Breslow's of the training rows."""

    looks_around: ClassVar[bool] = True

    @property
    def outputs(self) -> tuple[str, ...]:
        """One: the log of the relative hazard."""
        return ("risk",)

    def set_loss(self, outputs: "Tensor", wanted: "Tensor", kept: "Tensor") -> "Tensor":
        """Negative log partial likelihood of each head's rows."""
        import torch

        from hage_transfer.targets.cox import cox_loss

        risk = outputs[..., 0].masked_fill(~kept, -torch.inf)
        return cox_loss(risk, wanted[0, :, 0], wanted[0, :, 1])

    def refit(self, fitted: Fitted, values: np.ndarray, outputs: np.ndarray) -> Fitted:
        """Breslow's cumulative baseline hazard at the horizons, and the mean log risk that it stands at.

        H0(t) = sum over events j with t_j <= t of 1 / (sum of exp(r_k) over k at risk at t_j).
        """
        time, event = values[:, 0], values[:, 1] > 0
        shift = float(outputs[:, 0].mean())
        order = np.argsort(-time, kind="stable")
        at_risk = np.cumsum(np.exp(outputs[order, 0] - shift))
        last = np.searchsorted(-time[order], -time[event], side="right") - 1
        steps = 1 / at_risk[last]
        return (shift, *(float(steps[time[event] <= horizon].sum()) for horizon in self.horizons))

    def scores(self, outputs: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Risk, from the mean of the training rows, so that folds share its zero; and exp(-H0(t) exp(r))."""
        risk = outputs - fitted[0]
        hazard = np.exp(np.clip(risk, -50, 50)) * np.array(fitted[1:])
        return np.hstack([risk, np.exp(-hazard)])


@dataclass(frozen=True)
class Hazards(Survival):
    """Discrete time: output k is the logit of the hazard h_k of interval k, given that it is reached.

    With S_k = (1 - h_1) ... (1 - h_k), a row in interval y loses -log S_{y-1} - log h_y where its event was seen, and
    -w log S_y where it was censored. Risk is -(S_1 + ... + S_K); between two cut points the hazard is constant.

    Reference: Zadeh, Schmid, "Bias in cross-entropy-based training of deep survival networks", TPAMI 2021, as MCAT and
    SurvPath use it; w is 1 less their alpha. Deviation: cut points are quantiles of the events that train the fold,
    where published code takes the whole table's.

    Attributes:
        bins: intervals.
        censored_weight: w.
    """

    bins: int = 4
    censored_weight: float = 1.0

    @property
    def outputs(self) -> tuple[str, ...]:
        """One an interval."""
        return tuple(f"hazard_{k + 1}" for k in range(self.bins))

    def fit(self, values: np.ndarray) -> Fitted:
        """Ends of the intervals, the last at the longest time."""
        events = values[values[:, 1] > 0, 0]
        cuts = np.quantile(events, np.linspace(0, 1, self.bins + 1)[1:-1])
        return (*cuts.tolist(), float(values[:, 0].max()))

    def wanted(self, values: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Interval, and event."""
        return np.column_stack([np.searchsorted(fitted[:-1], values[:, 0], side="right"), values[:, 1]])

    def loss(self, outputs: "Tensor", wanted: "Tensor") -> "Tensor":
        """Negative log likelihood."""
        import torch
        from torch.nn import functional

        interval, event = wanted[..., :1], wanted[..., 1]
        places = torch.arange(outputs.shape[-1], device=outputs.device)
        spent, failed = -functional.logsigmoid(-outputs), -functional.logsigmoid(outputs)  # -log(1 - h), -log h
        before = (spent * (places < interval)).sum(dim=-1)
        own = places == interval
        seen, censored = (failed * own).sum(dim=-1), (spent * own).sum(dim=-1)
        return event * (before + seen) + (1 - event) * self.censored_weight * (before + censored)

    def scores(self, outputs: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Risk, and survival at the horizons."""
        log_survival = np.cumsum(np.log(np.clip(1 - expit(outputs.astype(np.float64)), 1e-300, 1)), axis=1)
        ends = np.maximum.accumulate([0.0, *fitted])
        known = np.hstack([np.zeros((len(outputs), 1)), log_survival])
        at_horizons = np.stack([np.interp(self.horizons, ends, row) for row in known])
        return np.hstack([-np.exp(log_survival).sum(axis=1, keepdims=True), np.exp(at_horizons)])
