"""What training minimises: cross-entropy of classes, or the loss of another target; one object for all folds."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from hage_transfer.targets.base import Fitted, Target
from hage_transfer.targets.cox import cox_bag_loss
from hage_transfer.targets.fitting import FoldTargets

BagLoss = Callable[[Sequence[int], Float[Tensor, "fold output"]], Float[Tensor, " fold"]]
"""Of a bag: some folds and what they put out, to the loss of each."""


class Criterion(Protocol):
    """Of a training.

    Attributes:
        memory: what each fold keeps of its bags; of width 0 where it keeps nothing.
    """

    memory: Float[Tensor, "fold kept"]

    def label(self, bag: int) -> int:
        """Class of a bag, for a classifier that labels tiles by it."""

    def weight(self, fold: int, bag: int) -> float:
        """How much a bag counts in a fold."""

    def of_bag(self, bag: int) -> BagLoss | None:
        """Loss of one bag; None: the classifier's own, of its class."""

    def of_set(self, fold: int, bags: Sequence[int], outputs: Float[Tensor, "bag output"]) -> float:
        """Loss of several, for early stop."""

    def scores(self, fold: int, outputs: Float[np.ndarray, "bag output"]) -> Float[np.ndarray, "bag score"]:
        """What is written and judged."""

    def settle(self, of_fold: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> None:
        """Takes from the training bags what there is to take once the networks stand.

        Args:
            of_fold: number of a fold to its training bags and what its network puts out for them.
        """

    def fitted(self, fold: int) -> Fitted:
        """What the scores of a fold need beside its network."""


class ClassCriterion:
    """Cross-entropy, by class weights."""

    def __init__(self, labels: Int[np.ndarray, " bag"], weights: Float[Tensor, "fold class"]) -> None:
        self.labels, self.weights = labels, weights
        self.memory = torch.zeros(len(weights), 0)

    def label(self, bag: int) -> int:
        """See ``Criterion``."""
        return int(self.labels[bag])

    def weight(self, fold: int, bag: int) -> float:
        """Of its class."""
        return float(self.weights[fold, self.labels[bag]])

    def of_bag(self, bag: int) -> None:
        """None: a classifier knows its own loss of classes."""

    def of_set(self, fold: int, bags: Sequence[int], outputs: Float[Tensor, "bag class"]) -> float:
        """Weighted mean."""
        labels = torch.from_numpy(self.labels[list(bags)])
        losses = functional.cross_entropy(outputs, labels, reduction="none") * self.weights[fold, labels]
        return float(np.mean(losses.tolist()))

    def scores(self, fold: int, outputs: Float[np.ndarray, "bag class"]) -> Float[np.ndarray, "bag class"]:
        """Probabilities; in float32 sure calls would tie at 1."""
        return torch.from_numpy(outputs).double().softmax(dim=1).numpy()

    def settle(self, of_fold: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> None:
        """Nothing."""

    def fitted(self, fold: int) -> Fitted:
        """Nothing."""
        return ()


class TargetCriterion(FoldTargets):
    """The loss of a target; each fold has taken what it needs from its own training bags."""

    def __init__(
        self,
        target: Target,
        values: Float[np.ndarray, "bag value"],
        training: Sequence[Int[np.ndarray, " train"]],
        *,
        device: str,
    ) -> None:
        super().__init__(target, values, training, device=device)
        width = len(values) if target.looks_around else 0
        self.memory = torch.full((len(training), width), torch.nan, device=device)

    def label(self, bag: int) -> int:
        """None: such a classifier is refused (``check_kind_of``)."""
        return 0

    def weight(self, fold: int, bag: int) -> float:
        """All alike."""
        return 1.0

    def of_bag(self, bag: int) -> BagLoss:
        """Of the bag alone, or beside the remembered ones."""

        def loss(folds: Sequence[int], outputs: Float[Tensor, "fold output"]) -> Float[Tensor, " fold"]:
            some = list(folds)
            if not self.target.looks_around:
                return self.target.loss(outputs, self.wanted[some, bag])
            time, event = self.wanted[0].T
            found = cox_bag_loss(outputs[:, 0], bag, self.memory[some], time, event)
            self.memory[some, bag] = outputs.detach()[:, 0]
            return found

        return loss

    def of_set(self, fold: int, bags: Sequence[int], outputs: Float[Tensor, "bag output"]) -> float:
        """Of all together."""
        wanted = self.wanted[fold, list(bags)].to(outputs.device)
        kept = torch.ones(1, len(bags), dtype=torch.bool, device=outputs.device)
        return float(self.target.set_loss(outputs[None], wanted[None], kept))
