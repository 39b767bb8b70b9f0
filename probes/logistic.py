"""Cross-check: logistic regression to convergence with L-BFGS, as UNI's own linear probe; all folds from one pass.

Each fold has an optimiser of its own; at every evaluation they wait for one another and share the pass over the rows
(``probes.lockstep``), so each takes the steps that it would take alone, but for rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hage_transfer.probes.linear import LinearProbes
from hage_transfer.probes.lockstep import in_lockstep
from hage_transfer.probes.moments import Moments, training_moments
from hage_transfer.probes.rows import LabelledFeatures
from hage_transfer.running.devices import to_device

CHUNK_ROWS = 512  # in float32 these stay in the processor's cache
Penalty = Literal["squared", "norm"]
ValueAndSlope = tuple[float, Float[Tensor, " parameter"]]


def train_logistic(
    features: LabelledFeatures | Float[np.ndarray, "row feature"],
    labels: Int[np.ndarray, " row"],
    training: Bool[np.ndarray, "fold row"],
    *,
    n_classes: int,
    penalty: Penalty = "squared",
    max_iterations: int = 1000,
    tolerance: float = 1e-4,
    device: str = "cpu",
) -> LinearProbes:
    """Minimises mean cross-entropy and a penalty on the weights, C = features x classes / 100, from zero, on raw rows.

    ``squared``: |W|^2 / (2 C n) with n training rows, one of the two ways that UNI's published code takes: with
    three classes or more scikit-learn's LogisticRegression(C=C); with two, W has a row a class as in UNI's code and
    scikit-learn has one row for both, the difference of ours, whose squared norm is twice theirs: its C is twice ours.
    ``norm``: |W| / (2 C), Frobenius, not squared, which is the other and that code's default; where classes lie near
    each other its minimum is W = 0, which says nothing of the features. Biases are not penalised. Steps are taken in
    units of each fold's standardised features, which changes the way to the minimum and not the minimum.

    Reference: Chen et al. 2024 (UNI), linear probe: L-BFGS, at most 1,000 iterations, l2 coefficient
    100 / (features x classes).

    Args:
        features: raw features of all rows.
        labels: class of each row.
        training: True where a fold trains on a row.
        n_classes: width of the output.
        penalty: ``squared`` or ``norm``.
        max_iterations: of L-BFGS (strong Wolfe line search).
        tolerance: it ends where no slope is steeper, per standardised feature (scikit-learn's default).
        device: where the products are taken.

    Raises:
        SplitError: a fold without training rows.
        DataError: NaN or infinity among the features.
    """
    rows = LabelledFeatures.of(features)
    moments = training_moments(rows, training)
    cost = rows.n_features * n_classes / 100
    objective = _Objective(
        rows, labels, training, n_classes=n_classes, cost=cost, penalty=penalty, moments=moments, device=device
    )

    def search(fold: int, ask: Callable[[Tensor], ValueAndSlope]) -> Tensor:
        return _minimise(objective.start(), ask, max_iterations=max_iterations, tolerance=tolerance)

    found = in_lockstep(len(training), search, objective)
    weights, biases = objective.for_raw_rows(range(len(training)), torch.stack(found))
    return LinearProbes(weights, biases, moments.shift.to(device))


def _minimise(
    start: Tensor, ask: Callable[[Tensor], ValueAndSlope], *, max_iterations: int, tolerance: float
) -> Float[Tensor, " parameter"]:
    point = start.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [point], max_iter=max_iterations, tolerance_grad=tolerance, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        value, point.grad = ask(point.detach().clone())
        return value

    optimiser.step(closure)
    return point.detach()


class _Objective:
    """Value and slope of several folds' objectives from one pass over the rows; sums in float64.

    A point is weights (class, feature) of the fold's standardised features, and biases, flat.
    """

    def __init__(
        self,
        features: LabelledFeatures,
        labels: Int[np.ndarray, " row"],
        training: Bool[np.ndarray, "fold row"],
        *,
        n_classes: int,
        cost: float,
        penalty: Penalty,
        moments: Moments,
        device: str,
    ) -> None:
        self._features, self._n_classes, self._cost, self._penalty = features, n_classes, cost, penalty
        self._targets = torch.from_numpy(labels)
        self._counts = training.sum(axis=1)
        self._shares = torch.from_numpy(training / self._counts[:, None]).float()
        self._shift = moments.shift.to(device)
        self._mean, self._scale = moments.mean.double(), moments.scale.double()

    def start(self) -> Float[Tensor, " parameter"]:
        return torch.zeros(self._n_classes * (self._features.n_features + 1), dtype=torch.float64)

    def for_raw_rows(
        self, folds: Sequence[int], points: Float[Tensor, "fold parameter"]
    ) -> tuple[Float[Tensor, "fold class feature"], Float[Tensor, "fold class"]]:
        """Weights and biases that do to (shifted) raw rows what the points do to standardised ones."""
        weights, biases = self._divided(points)
        raw = weights / self._scale[folds].unsqueeze(1)
        moved = biases - (raw @ self._mean[folds].unsqueeze(2)).squeeze(2)
        return raw.float().to(self._shift.device), moved.float().to(self._shift.device)

    @torch.no_grad()
    def __call__(self, points: Mapping[int, Tensor]) -> dict[int, ValueAndSlope]:
        folds = sorted(points)  # whichever search asked first: the same sums every time
        weights, biases = self.for_raw_rows(folds, torch.stack([points[fold] for fold in folds]))
        home = "cpu" if self._shift.device.type == "mps" else self._shift.device  # mps has no float64
        shapes = (len(folds),), weights.shape, biases.shape
        totals = [torch.zeros(shape, dtype=torch.float64, device=home) for shape in shapes]
        for place, chunk in self._features.chunks(size=CHUNK_ROWS):
            parts = self._chunk(to_device(chunk, self._shift.device) - self._shift, place, folds, weights, biases)
            for total, part in zip(totals, parts, strict=True):
                total += part.to(home)
        flat = torch.cat([total.flatten() for total in totals]).cpu().split([total.numel() for total in totals])
        value, of_rows, of_biases = (one.view(shape) for one, shape in zip(flat, shapes, strict=True))
        centred = of_rows - of_biases.unsqueeze(2) * self._mean[folds].unsqueeze(1)
        of_weights = centred / self._scale[folds].unsqueeze(1)
        return {
            fold: self._penalised(fold, points[fold], value[row], of_weights[row], of_biases[row])
            for row, fold in enumerate(folds)
        }

    def _divided(self, points: Float[Tensor, "*fold parameter"]) -> tuple[Tensor, Tensor]:
        weights, biases = points.split([self._n_classes * self._features.n_features, self._n_classes], dim=-1)
        return weights.unflatten(-1, (self._n_classes, -1)), biases

    def _chunk(
        self, centred: Tensor, place: slice, folds: list[int], weights: Tensor, biases: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        shares = to_device(self._shares[folds, place].T, centred.device)
        logs = (centred @ weights.flatten(0, 1).T).unflatten(1, biases.shape).add_(biases).log_softmax(dim=2)
        target = to_device(self._targets[place], centred.device)[:, None, None].expand(-1, len(folds), 1)
        losses = -(logs.gather(2, target).squeeze(2) * shares).sum(dim=0)
        slopes = logs.exp_().scatter_add_(2, target, -torch.ones_like(logs[:, :, :1])) * shares.unsqueeze(2)
        return losses, (slopes.flatten(1).T @ centred).unflatten(0, biases.shape), slopes.sum(dim=0)

    def _penalised(
        self, fold: int, point: Tensor, value: Tensor, of_weights: Tensor, of_biases: Tensor
    ) -> ValueAndSlope:
        raw = self._divided(point)[0] / self._scale[fold]
        norm = raw.norm()
        if self._penalty == "squared":
            strength = 1 / (2 * self._cost * float(self._counts[fold]))
            cost, slope = strength * norm**2, 2 * strength * raw
        else:  # at zero the norm has no slope; 0 is one of its subgradients
            cost, slope = norm / (2 * self._cost), raw / norm.clamp(min=1e-300) / (2 * self._cost)
        return float(value + cost), torch.cat([(of_weights + slope / self._scale[fold]).flatten(), of_biases])
