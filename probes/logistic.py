"""Cross-check: logistic regression to convergence with L-BFGS, as UNI's own linear probe; all folds from one pass.

Each fold has an optimiser of its own; at every evaluation they wait for one another and share the pass over the rows
(``probes.lockstep``), so each takes the steps that it would take alone, but for rounding.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hage_transfer.errors import SplitError
from probes.linear import LinearProbes
from probes.lockstep import in_lockstep
from probes.moments import training_moments
from probes.rows import FeatureRows

Penalty = Literal["squared", "norm"]
ValueAndSlope = tuple[float, Float[Tensor, "parameter"]]


def train_logistic(
    features: FeatureRows | Float[np.ndarray, "row feature"],
    labels: Int[np.ndarray, "row"],
    training: Bool[np.ndarray, "fold row"],
    *,
    n_classes: int,
    penalty: Penalty = "squared",
    max_iterations: int = 1000,
    device: str = "cpu",
) -> LinearProbes:
    """Minimises mean cross-entropy and a penalty on the weights, C = features x classes / 100, from zero, on raw rows.

    ``squared``: |W|^2 / (2 C n) with n training rows, which is scikit-learn's LogisticRegression(C=C), one of the two
    ways that UNI's published code takes. ``norm``: |W| / (2 C), Frobenius, not squared, which is the other and that
    code's default; where classes lie near each other its minimum is W = 0, which says nothing of the features.
    Biases are not penalised.

    Reference: Chen et al. 2024 (UNI), linear probe: L-BFGS, at most 1,000 iterations, l2 coefficient
    100 / (features x classes).

    Args:
        features: raw features of all rows.
        labels: class of each row.
        training: True where a fold trains on a row.
        n_classes: width of the output.
        penalty: ``squared`` or ``norm``.
        max_iterations: of L-BFGS (strong Wolfe line search).
        device: where the products are taken.

    Raises:
        SplitError: a fold without training rows.
        DataError: NaN or infinity among the features.
    """
    if not training.any(axis=1).all():
        raise SplitError(f"fold {int(np.flatnonzero(~training.any(axis=1))[0])} has no row to train on")
    rows = FeatureRows.of(features)
    # The bias takes up any shift, so that this one only keeps the arithmetic near zero.
    shift = training_moments(rows, training[:1]).shift.to(device)
    cost = rows.n_features * n_classes / 100
    objective = _Objective(rows, labels, training, n_classes=n_classes, cost=cost, penalty=penalty, shift=shift)

    def search(fold: int, ask: Callable[[Tensor], ValueAndSlope]) -> Tensor:
        return _minimise(objective.start(), ask, max_iterations=max_iterations)

    found = torch.stack(in_lockstep(len(training), search, objective)).float()
    weights, biases = objective.divided(found)
    return LinearProbes(weights, biases, shift)


def _minimise(
    start: Tensor, ask: Callable[[Tensor], ValueAndSlope], *, max_iterations: int
) -> Float[Tensor, "parameter"]:
    point = start.requires_grad_()
    optimiser = torch.optim.LBFGS([point], max_iter=max_iterations, line_search_fn="strong_wolfe")

    def closure() -> float:
        value, point.grad = ask(point.detach().clone())
        return value

    optimiser.step(closure)
    return point.detach()


class _Objective:
    """Value and slope of several folds' objectives from one pass over the rows; sums in float64."""

    def __init__(
        self,
        features: FeatureRows,
        labels: Int[np.ndarray, "row"],
        training: Bool[np.ndarray, "fold row"],
        *,
        n_classes: int,
        cost: float,
        penalty: Penalty,
        shift: Float[Tensor, "feature"],
    ) -> None:
        self._features, self._shift, self._cost, self._n_classes = features, shift, cost, n_classes
        self._penalty, self._counts = penalty, training.sum(axis=1).tolist()
        self._targets = torch.from_numpy(labels)
        self._shares = torch.from_numpy(training / training.sum(axis=1, keepdims=True))

    def start(self) -> Float[Tensor, "parameter"]:
        return torch.zeros(self._n_classes * (self._features.n_features + 1), dtype=torch.float64)

    def divided(
        self, points: Float[Tensor, "fold parameter"]
    ) -> tuple[Float[Tensor, "fold class feature"], Float[Tensor, "fold class"]]:
        """Points as weights and biases."""
        shaped = points.to(self._shift.device).unflatten(1, (self._n_classes, -1))
        return shaped[:, :, :-1].contiguous(), shaped[:, :, -1].contiguous()

    @torch.no_grad()
    def __call__(self, points: Mapping[int, Tensor]) -> dict[int, ValueAndSlope]:
        folds = sorted(points)  # whichever search asked first: the same sums every time
        weights, biases = self.divided(torch.stack([points[fold] for fold in folds]).float())
        value = torch.zeros(len(folds), dtype=torch.float64)
        slope = torch.zeros(len(folds), self._n_classes, self._features.n_features + 1, dtype=torch.float64)
        for place, chunk in self._features.chunks():
            parts = self._chunk(chunk.to(self._shift.device) - self._shift, place, folds, weights, biases)
            for total, part in zip((value, slope[:, :, :-1], slope[:, :, -1]), parts, strict=True):
                total += part.cpu()
        return {fold: self._penalised(fold, points[fold], value[row], slope[row]) for row, fold in enumerate(folds)}

    def _chunk(
        self, centred: Tensor, place: slice, folds: list[int], weights: Tensor, biases: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        shares = self._shares[folds, place].T.float().to(centred.device)
        logs = (centred @ weights.flatten(0, 1).T).unflatten(1, biases.shape).add_(biases).log_softmax(dim=2)
        target = self._targets[place].to(centred.device)[:, None, None].expand(-1, len(folds), 1)
        losses = -(logs.gather(2, target).squeeze(2) * shares).sum(dim=0)
        slopes = logs.exp_().scatter_add_(2, target, -torch.ones_like(logs[:, :, :1])) * shares.unsqueeze(2)
        return losses, (slopes.flatten(1).T @ centred).unflatten(0, biases.shape), slopes.sum(dim=0)

    def _penalised(self, fold: int, point: Tensor, value: Tensor, slope: Tensor) -> ValueAndSlope:
        weights = point.unflatten(0, (self._n_classes, -1))[:, :-1]
        norm = weights.norm()
        slope = slope.clone()
        if self._penalty == "squared":
            strength = 1 / (2 * self._cost * self._counts[fold])
            slope[:, :-1] += 2 * strength * weights
            return float(value + strength * norm**2), slope.flatten()
        if norm > 0:  # at zero the norm has no slope; 0 is one of its subgradients
            slope[:, :-1] += weights / norm / (2 * self._cost)
        return float(value + norm / (2 * self._cost)), slope.flatten()
