"""Grades: one question a step, whether a row lies above it, asked of the rows that reach it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from hage_transfer.targets.base import Fitted, Target

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Ordinal(Target):
    """Grades, the lowest first.

    Output k is the logit of P(y > k | y >= k); the probability of lying above k is the product of those up to k, so
    grades never contradict each other.

    Reference: Shi, Cao, Raschka, "Deep neural networks for rank-consistent ordinal regression based on conditional
    probabilities" (CORN), 2023. Deviation: a row's loss is the sum over its steps, not divided by their number.

    Attributes:
        grades: names.
    """

    grades: tuple[str, ...]
    kind: ClassVar[str] = "ordinal"
    metrics: ClassVar[tuple[str, ...]] = ("kappa", "mae", "accuracy")
    chance: ClassVar[float] = 0.0

    @property
    def outputs(self) -> tuple[str, ...]:
        """One a step."""
        return tuple(f"above_{grade}" for grade in self.grades[:-1])

    @property
    def score_names(self) -> tuple[str, ...]:
        """A probability a grade."""
        return tuple(f"probability_{grade}" for grade in self.grades)

    def loss(self, outputs: "Tensor", wanted: "Tensor") -> "Tensor":
        """Cross-entropy of the steps that the row's grade reaches."""
        import torch
        from torch.nn import functional

        steps = torch.arange(outputs.shape[-1], device=outputs.device)
        above, reached = (wanted > steps).to(outputs), (wanted >= steps).to(outputs)
        each = functional.binary_cross_entropy_with_logits(outputs, above.expand_as(outputs), reduction="none")
        return (each * reached).sum(dim=-1)

    def scores(self, outputs: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Probabilities of the grades; they sum to 1."""
        above = np.cumprod(expit(outputs), axis=1)
        ends = np.ones((len(outputs), 1)), np.zeros((len(outputs), 1))
        return -np.diff(np.hstack([ends[0], above, ends[1]]), axis=1)

    def called(self, scores: np.ndarray) -> np.ndarray:
        """Place of the median grade: the steps that a row lies above with a probability over a half."""
        above = 1 - np.cumsum(scores, axis=1)[:, :-1]
        return (above > 0.5).sum(axis=1)

    def measure(self, values: np.ndarray, scores: np.ndarray, *, training: np.ndarray) -> dict[str, float | None]:
        """Quadratic-weighted kappa, mean absolute error in grades, accuracy, all of the median grade."""
        true, said = values[:, 0].astype(int), self.called(scores)
        differs = len(np.union1d(true, said)) > 1
        kappa = cohen_kappa_score(true, said, weights="quadratic", labels=range(len(self.grades))) if differs else None
        return {
            "kappa": None if kappa is None else float(kappa),
            "mae": float(mean_absolute_error(true, said)),
            "accuracy": float(accuracy_score(true, said)),
        }

    def resampled(self, values: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Kappa of every draw, from its table of true and called grades."""
        n = len(self.grades)
        cells = np.eye(n * n)[values[:, 0].astype(int) * n + self.called(scores)]
        table = (weights @ cells).reshape(-1, n, n)
        apart = np.subtract.outer(np.arange(n), np.arange(n)) ** 2
        by_chance = table.sum(axis=2, keepdims=True) * table.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_chance = by_chance / table.sum(axis=(1, 2), keepdims=True)
            return 1 - (apart * table).sum(axis=(1, 2)) / (apart * by_chance).sum(axis=(1, 2))

    def summary(self, values: np.ndarray) -> dict[str, float]:
        """Rows of each grade."""
        return {name: float((values[:, 0] == place).sum()) for place, name in enumerate(self.grades)}

    def columns(self, values: np.ndarray, scores: np.ndarray) -> Mapping[str, np.ndarray]:
        """The median grade."""
        return {"predicted": np.array(self.grades, dtype=object)[self.called(scores)]}
