"""Simulated sets whose truth is known: what the verdicts of this program are calibrated and tested on.

Rows are normal in each class. Two sources of one set see the same labels through features of their own, so their
expected scores are equal, or differ by a gap that is given. The classifier is ridge in closed form, by numpy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.split_sizes import Split


@dataclass(frozen=True)
class SimulatedSet:
    """Labels and the features of each source.

    Attributes:
        rows: of the set.
        features: of each source.
        gap: distance of the class means along a source's first feature, in standard deviations.
        better: how much longer the first source's gap is.
        shared: correlation of the sources along that feature within a class.
        shrinkage: of ridge, in units of the mean diagonal of the rows' products.
    """

    rows: int = 60
    features: int = 20
    gap: float = 2.0
    better: float = 0.0
    shared: float = 0.0
    shrinkage: float = 1.0

    def draw(self, rng: np.random.Generator) -> tuple[Int[np.ndarray, " row"], list[Float[np.ndarray, "row feature"]]]:
        """Labels and the two sources of one set."""
        labels = np.arange(self.rows) % 2
        common = rng.normal(size=self.rows)
        sources = []
        for gap in (self.gap + self.better, self.gap):
            rows = rng.normal(size=(self.rows, self.features))
            rows[:, 0] = np.sqrt(1 - self.shared) * rows[:, 0] + np.sqrt(self.shared) * common + gap * (labels - 0.5)
            sources.append(rows)
        return labels, sources

    def score(
        self,
        features: Float[np.ndarray, "row feature"],
        labels: Int[np.ndarray, " row"],
        train: Int[np.ndarray, " train"],
        tested: Float[np.ndarray, "test feature"],
    ) -> Float[np.ndarray, " test"]:
        """Ridge scores of some rows."""
        middle = features[train].mean(axis=0)
        rows, wanted = features[train] - middle, labels[train] - labels[train].mean()
        shrinkage = self.shrinkage * (rows**2).sum() / len(train)
        if rows.shape[1] < len(train):  # the smaller of the two equal systems
            weights = np.linalg.solve(rows.T @ rows + shrinkage * np.eye(rows.shape[1]), rows.T @ wanted)
        else:
            weights = rows.T @ np.linalg.solve(rows @ rows.T + shrinkage * np.eye(len(train)), wanted)
        return (tested - middle) @ weights

    def aucs(
        self, features: Float[np.ndarray, "row feature"], labels: Int[np.ndarray, " row"], splits: Sequence[Split]
    ) -> Mapping[str, float]:
        """AUC of each split's test rows."""
        return {
            split.name: auc(labels[split.test], self.score(features, labels, split.train, features[split.test]))
            for split in splits
        }


def auc(labels: Int[np.ndarray, " row"], scores: Float[np.ndarray, " row"]) -> float:
    """Share of pairs in the right order; scores that are drawn have no ties."""
    return float((scores[labels == 1][:, None] > scores[labels == 0]).mean())
