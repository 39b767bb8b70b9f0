"""What every target is: a loss, a width of output, the numbers that are written of it, and its metrics."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from torch import Tensor

Fitted = tuple[float, ...]
"""What a target learns of a fold's training rows beside the network: a scale, cut points, a baseline."""


@dataclass(frozen=True)
class Target(ABC):
    """A target beyond classes.

    Values are what a table says, (row, value); outputs what a network puts out, (row, output); scores what is written
    and judged, (row, score).

    Attributes:
        metrics: names, the main one first.
        chance: of the main metric, where nothing is known.
        looks_around: whether its loss compares rows: it is then that of ``cox``.
    """

    kind: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    chance: ClassVar[float]
    looks_around: ClassVar[bool] = False

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of what the network puts out."""

    @property
    @abstractmethod
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores, as `predictions.csv` has them."""

    @property
    def main_scores(self) -> tuple[str, ...]:
        """Scores of one scale, by whose spread models disagree: all of them, or the one that says most."""
        return self.score_names

    def fit(self, values: Float[np.ndarray, "train value"]) -> Fitted:
        """What is taken of the training rows before there is a network."""
        return ()

    def refit(self, fitted: Fitted, values: np.ndarray, outputs: Float[np.ndarray, "train output"]) -> Fitted:
        """What is taken of them after; asked where ``looks_around``."""
        return fitted

    def wanted(self, values: Float[np.ndarray, "row value"], fitted: Fitted) -> Float[np.ndarray, "row wanted"]:
        """What the loss compares outputs with."""
        return values

    def loss(self, outputs: "Tensor", wanted: "Tensor") -> "Tensor":
        """Loss of each row; none where ``looks_around``."""
        raise NotImplementedError

    def set_loss(
        self,
        outputs: "Tensor",
        wanted: "Tensor",
        kept: "Tensor",
    ) -> "Tensor":
        """Mean loss of each head's own rows."""
        losses = self.loss(outputs, wanted).masked_fill(~kept, 0.0)
        return losses.sum(dim=-1) / kept.sum(dim=-1).clamp(min=1)

    @abstractmethod
    def scores(self, outputs: Float[np.ndarray, "row output"], fitted: Fitted) -> Float[np.ndarray, "row score"]:
        """Outputs as they are written."""

    @abstractmethod
    def measure(
        self,
        values: Float[np.ndarray, "unit value"],
        scores: Float[np.ndarray, "unit score"],
        *,
        training: Float[np.ndarray, "train value"],
    ) -> dict[str, float | None]:
        """``metrics`` of some units; None where one is not defined."""

    @abstractmethod
    def resampled(
        self, values: np.ndarray, scores: np.ndarray, weights: Int[np.ndarray, "draw unit"]
    ) -> Float[np.ndarray, " draw"]:
        """The main metric of units drawn again, as often as ``weights`` says; NaN where it is not defined."""

    @abstractmethod
    def summary(self, values: np.ndarray) -> dict[str, float]:
        """A cohort's values in a few numbers."""

    @abstractmethod
    def columns(self, values: np.ndarray, scores: np.ndarray) -> Mapping[str, np.ndarray]:
        """What stands between `label` and the scores in `predictions.csv`: truth and call."""

    def facts(self) -> dict[str, Any]:
        """As a checkpoint and results keep it."""
        return {"kind": self.kind, **asdict(self)}


def by_unit(
    values: Float[np.ndarray, "row value"], scores: Float[np.ndarray, "row score"], units: Int[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, "unit value"], Float[np.ndarray, "unit score"]]:
    """A patient's value, and the mean of the scores of its rows.

    >>> by_unit(np.array([[1.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [3.0]]), np.array([4, 4, 7]))[1].tolist()
    [[0.5], [3.0]]
    """
    _, first, place, counts = np.unique(units, return_index=True, return_inverse=True, return_counts=True)
    sums = np.zeros((len(first), scores.shape[1]))
    np.add.at(sums, place, scores)
    return values[first], sums / counts[:, None]
