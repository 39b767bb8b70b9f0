"""A number: trained on its standardised form, judged in its own unit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score

from hage_transfer.targets.base import Fitted, Target

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Regression(Target):
    """A number; R2 is against the mean of the tested units, as scikit-learn's.

    Attributes:
        huber: Huber's loss, linear beyond one standard deviation of the training values; else the squared error.
    """

    huber: bool = False
    kind: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman", "r2", "mae")
    chance: ClassVar[float] = 0.0

    @property
    def outputs(self) -> tuple[str, ...]:
        """One."""
        return ("value",)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The prediction, in the table's unit."""
        return ("predicted",)

    def fit(self, values: np.ndarray) -> Fitted:
        """Mean and standard deviation."""
        return float(values.mean()), float(values.std()) or 1.0

    def wanted(self, values: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Standardised."""
        return (values - fitted[0]) / fitted[1]

    def loss(self, outputs: "Tensor", wanted: "Tensor") -> "Tensor":
        """Squared or Huber's error."""
        from torch.nn import functional

        loss = functional.huber_loss if self.huber else functional.mse_loss
        return loss(outputs[..., 0], wanted[..., 0].expand_as(outputs[..., 0]), reduction="none")

    def scores(self, outputs: np.ndarray, fitted: Fitted) -> np.ndarray:
        """In the table's unit."""
        return outputs * fitted[1] + fitted[0]

    def measure(self, values: np.ndarray, scores: np.ndarray, *, training: np.ndarray) -> dict[str, float | None]:
        """Correlations, R2 and mean absolute error; a constant prediction correlates 0."""
        true, said = values[:, 0], scores[:, 0]
        can_correlate = len(true) > 1 and np.ptp(true) > 0
        varies = can_correlate and np.ptp(said) > 0
        return {
            "pearson": (float(pearsonr(true, said).statistic) if varies else 0.0) if can_correlate else None,
            "spearman": (float(spearmanr(true, said).statistic) if varies else 0.0) if can_correlate else None,
            "r2": float(r2_score(true, said)) if can_correlate else None,
            "mae": float(mean_absolute_error(true, said)),
        }

    def resampled(self, values: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Pearson's correlation of every draw."""
        true, said = (one - one.mean() for one in (values[:, 0], scores[:, 0]))
        with np.errstate(divide="ignore", invalid="ignore"):  # a fold of few units may have none in a draw
            share = weights / weights.sum(axis=1, keepdims=True)
            means = share @ true, share @ said
            both = share @ (true * said) - means[0] * means[1]
            spread = [share @ one**2 - mean**2 for one, mean in zip((true, said), means, strict=True)]
            return both / np.sqrt(np.clip(spread[0] * spread[1], 0, None))

    def summary(self, values: np.ndarray) -> dict[str, float]:
        """Mean, standard deviation and ends."""
        return {"mean": values.mean(), "std": values.std(), "lowest": values.min(), "highest": values.max()}

    def columns(self, values: np.ndarray, scores: np.ndarray) -> Mapping[str, np.ndarray]:
        """None: the label is the number."""
        return {}
