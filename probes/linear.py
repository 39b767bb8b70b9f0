"""The paper's probe: one linear layer, cross-entropy, 10 epochs; all folds trained together from one pass.

Every batch is read once and multiplied once with the weights of all folds; a fold's loss is the mean over the
batch's rows that the fold trains on. The folds share nothing else, so each comes out as if trained alone on the same
order of rows (the tests say so).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hage_transfer.errors import SplitError

CHUNK_ROWS = 8192


@dataclass(frozen=True)
class LinearProbes:
    """Trained probes of all folds, with each fold's standardisation folded into its weights.

    Attributes:
        weights: of features from which ``shift`` is taken.
        biases: logits at ``shift``.
        shift: one reference row for all folds; it keeps the products small and changes no result.
    """

    weights: Float[Tensor, "fold class feature"]
    biases: Float[Tensor, "fold class"]
    shift: Float[Tensor, "feature"]

    def probabilities(
        self, features: Float[np.ndarray, "batch feature"], *, fold: int, rows: Int[np.ndarray, "rows"]
    ) -> Float[np.ndarray, "rows class"]:
        """Class probabilities of some rows by one fold's probe."""
        parts = []
        for start in range(0, len(rows), CHUNK_ROWS):
            batch = _shifted(features, rows[start : start + CHUNK_ROWS], self.shift)
            parts.append(functional.linear(batch, self.weights[fold], self.biases[fold]).softmax(dim=1))
        return torch.cat(parts).cpu().numpy()


def train_probes(
    features: Float[np.ndarray, "batch feature"],
    labels: Int[np.ndarray, "batch"],
    training: Bool[np.ndarray, "fold batch"],
    *,
    n_classes: int,
    epochs: int = 10,
    batch_size: int = 1024,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    standardise: bool = True,
    seed: int = 0,
    device: str = "cpu",
) -> LinearProbes:
    """Trains one linear layer per fold with AdamW, all folds together.

    A batch without a training row of a fold makes no step of that fold. All folds start from the same weights (drawn
    as torch's ``Linear`` draws them).

    Args:
        features: raw features of all rows, any float type.
        labels: class of each row.
        training: True where a fold trains on a row.
        n_classes: width of the output.
        epochs: passes over all rows.
        batch_size: rows a step, of which each fold uses its own.
        learning_rate: of AdamW.
        weight_decay: of AdamW; on the weights, not on the biases.
        standardise: scale features by the mean and std of each fold's training rows.
        seed: of weights and order.
        device: where the products are taken.

    Raises:
        SplitError: a fold without training rows.
    """
    if not training.any(axis=1).all():
        raise SplitError(f"fold {int(np.flatnonzero(~training.any(axis=1))[0])} has no row to train on")
    n_features = features.shape[1]
    shift, mean, scale = _training_statistics(features, training, standardise=standardise)
    shift, mean, scale = (array.to(device) for array in (shift, mean, scale))
    generator = torch.Generator().manual_seed(seed)
    bound = n_features**-0.5
    weight = (torch.rand(n_classes, n_features, generator=generator) * 2 - 1).mul_(bound).to(device)
    bias = (torch.rand(n_classes, generator=generator) * 2 - 1).mul_(bound).to(device)
    # One tensor per fold: a fold that a batch does not concern gets no gradient, which AdamW takes as no step.
    weights = [weight.clone().requires_grad_() for _ in training]
    biases = [bias.clone().requires_grad_() for _ in training]
    optimiser = torch.optim.AdamW(
        [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}], lr=learning_rate
    )
    targets, masks = torch.from_numpy(labels).to(device), torch.from_numpy(training).to(device)
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=generator).numpy()
        for start in range(0, len(order), batch_size):
            rows = np.sort(order[start : start + batch_size])
            batch, kept = _shifted(features, rows, shift), masks[:, rows]
            counts = kept.sum(dim=1)
            raw_weights, raw_biases = _for_raw_rows(weights, biases, mean=mean, scale=scale)
            logits = torch.einsum("bd,fcd->fbc", batch, raw_weights) + raw_biases.unsqueeze(1)
            losses = functional.cross_entropy(
                logits.flatten(0, 1), targets[rows].repeat(len(training)), reduction="none"
            ).unflatten(0, (len(training), -1))
            optimiser.zero_grad()
            ((losses * kept).sum(dim=1) / counts.clamp(min=1)).sum().backward()
            for fold in torch.nonzero(counts == 0).flatten().tolist():
                weights[fold].grad = biases[fold].grad = None
            optimiser.step()
    with torch.no_grad():
        return LinearProbes(*_for_raw_rows(weights, biases, mean=mean, scale=scale), shift)


def _for_raw_rows(
    weights: Sequence[Tensor], biases: Sequence[Tensor], *, mean: Tensor, scale: Tensor
) -> tuple[Float[Tensor, "fold class feature"], Float[Tensor, "fold class"]]:
    """Weights and biases that do to (shifted) raw rows what the fold's own do to its standardised rows."""
    raw = torch.stack(list(weights)) / scale.unsqueeze(1)
    return raw, torch.stack(list(biases)) - torch.einsum("fcd,fd->fc", raw, mean)


def _shifted(features: np.ndarray, rows: np.ndarray, shift: Tensor) -> Float[Tensor, "batch feature"]:
    return torch.from_numpy(np.asarray(features[rows], dtype=np.float32)).to(shift.device) - shift


def _training_statistics(
    features: np.ndarray, training: np.ndarray, *, standardise: bool
) -> tuple[Float[Tensor, "feature"], Float[Tensor, "fold feature"], Float[Tensor, "fold feature"]]:
    """A reference row, and mean (from that row) and std of each fold's training rows; std 1 for constant features."""
    shift = np.asarray(features[:CHUNK_ROWS], dtype=np.float64).mean(axis=0)
    n_folds, n_features = len(training), features.shape[1]
    if not standardise:
        mean, scale = -np.tile(shift, (n_folds, 1)), np.ones((n_folds, n_features))
    else:
        total, squares = np.zeros((n_folds, n_features)), np.zeros((n_folds, n_features))
        for start in range(0, len(features), CHUNK_ROWS):
            chunk = np.asarray(features[start : start + CHUNK_ROWS], dtype=np.float64) - shift
            mask = training[:, start : start + CHUNK_ROWS].astype(np.float64)
            total += mask @ chunk
            squares += mask @ chunk**2
        counts = training.sum(axis=1, keepdims=True)
        mean = total / counts
        scale = np.sqrt(np.maximum(squares / counts - mean**2, 0.0))
        scale[scale < 1e-6 * (1.0 + np.abs(mean + shift))] = 1.0
    shift32, mean32, scale32 = (torch.from_numpy(array.astype(np.float32)) for array in (shift, mean, scale))
    return shift32, mean32, scale32
