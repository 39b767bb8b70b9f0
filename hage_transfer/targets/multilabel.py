"""Several labels of a row, each there or not; those that nobody looked for are left out of loss and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

from hage_transfer.targets.base import Fitted, Target
from hage_transfer.targets.pairs import concordance_draws

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MultiLabel(Target):
    """Labels that do not exclude each other; a missing one is NaN among the values.

    Attributes:
        names: of the labels.
    """

    names: tuple[str, ...]
    kind: ClassVar[str] = "multilabel"
    metrics: ClassVar[tuple[str, ...]] = ("auc", "average_precision", "accuracy")
    chance: ClassVar[float] = 0.5

    @property
    def outputs(self) -> tuple[str, ...]:
        """A logit a label."""
        return self.names

    @property
    def score_names(self) -> tuple[str, ...]:
        """A probability a label; they do not sum to 1."""
        return tuple(f"probability_{name}" for name in self.names)

    def loss(self, outputs: "Tensor", wanted: "Tensor") -> "Tensor":
        """Mean binary cross-entropy of the labels that are known."""
        from torch.nn import functional

        known = ~wanted.isnan()
        labels = wanted.nan_to_num(0.0).expand_as(outputs)
        each = functional.binary_cross_entropy_with_logits(outputs, labels, reduction="none")
        return (each * known).sum(dim=-1) / known.sum(dim=-1).clamp(min=1)

    def scores(self, outputs: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Sigmoid."""
        return expit(outputs)

    def measure(self, values: np.ndarray, scores: np.ndarray, *, training: np.ndarray) -> dict[str, float | None]:
        """Means over the labels for which both kinds of rows are there; accuracy at 0.5 over all known labels."""
        rows = self.by_label(values, scores)
        known = ~np.isnan(values)
        right = ((scores > 0.5) == (values > 0.5))[known]
        aucs: list[Any] = [(row["auc"], row["average_precision"]) for row in rows if row["auc"] is not None]
        means = np.mean(aucs, axis=0).tolist() if aucs else [None, None]
        return {"auc": means[0], "average_precision": means[1], "accuracy": float(right.mean()) if len(right) else None}

    def by_label(self, values: np.ndarray, scores: np.ndarray) -> list[dict[str, float | str | None]]:
        """AUC, average precision and how many rows are known and positive, of each label."""
        found: list[dict[str, float | str | None]] = []
        for place, name in enumerate(self.names):
            known = ~np.isnan(values[:, place])
            true, said = values[known, place] > 0.5, scores[known, place]
            both = 0 < true.sum() < len(true)
            found.append(
                {
                    "label": name,
                    "auc": float(roc_auc_score(true, said)) if both else None,
                    "average_precision": float(average_precision_score(true, said)) if both else None,
                    "known": int(known.sum()),
                    "positive": int(true.sum()),
                }
            )
        return found

    def resampled(self, values: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Mean AUC of every draw: concordance of rows that have a label with those that have not."""
        found = []
        for place in range(len(self.names)):
            known = ~np.isnan(values[:, place])
            label = values[known, place]
            order = np.column_stack([2 - label, label])  # those with the label are earlier
            found.append(concordance_draws(order, scores[known, place], weights[:, known]))
        with np.errstate(invalid="ignore"):
            there = np.isfinite(found)
            return np.where(there, found, 0.0).sum(axis=0) / there.sum(axis=0)

    def summary(self, values: np.ndarray) -> dict[str, float]:
        """Rows that have each label, and of how many it is known."""
        counts = {name: values[:, place] for place, name in enumerate(self.names)}
        found = {name: float(np.nansum(one)) for name, one in counts.items()}
        return found | {f"{name} known": float((~np.isnan(one)).sum()) for name, one in counts.items()}

    def columns(self, values: np.ndarray, scores: np.ndarray) -> Mapping[str, np.ndarray]:
        """Every label as the table has it."""
        return {f"label_{name}": values[:, place] for place, name in enumerate(self.names)}
