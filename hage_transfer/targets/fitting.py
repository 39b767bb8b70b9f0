"""A target as every fold's own training rows make it: one object for probes and bag classifiers."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from hage_transfer.targets.base import Fitted, Target


class FoldTargets:
    """What each fold's loss compares outputs with, and what makes scores of them.

    Args:
        target: what is learnt.
        values: of every row.
        training: rows of each fold.
        device: of the losses.
    """

    def __init__(
        self,
        target: Target,
        values: Float[np.ndarray, "row value"],
        training: Sequence[Int[np.ndarray, " train"]],
        *,
        device: str,
    ) -> None:
        self.target, self.values = target, values
        self._fitted = [target.fit(values[rows]) for rows in training]
        wanted = np.stack([target.wanted(values, fitted) for fitted in self._fitted])
        self.wanted = torch.from_numpy(wanted).float().to(device)

    def scores(self, fold: int, outputs: Float[np.ndarray, "some output"]) -> Float[np.ndarray, "some score"]:
        """What is written and judged of a fold's outputs."""
        return self.target.scores(outputs.astype(np.float64), self._fitted[fold])

    def settle(self, of_fold: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> None:
        """Takes a baseline from the training rows once the networks stand, where the target has one.

        Args:
            of_fold: number of a fold to its training rows and what its network puts out for them.
        """
        if self.target.looks_around:
            for fold, fitted in enumerate(self._fitted):
                rows, outputs = of_fold(fold)
                self._fitted[fold] = self.target.refit(fitted, self.values[rows], outputs.astype(np.float64))

    def fitted(self, fold: int) -> Fitted:
        """What the scores of a fold need beside its network."""
        return self._fitted[fold]
