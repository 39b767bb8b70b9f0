"""The paper's probe: one linear layer, cross-entropy, 10 epochs; all heads trained together from one pass.

A head is one linear layer with training rows of its own: a fold, or a fold's draw of few labels. Every batch is read
once and multiplied once with the weights of all heads; a head's loss is the mean over the batch's rows that it trains
on. Heads share nothing else, so each comes out as if trained alone on the same order of rows (the tests say so).
Standardisation by a head's own training rows is folded into its weights, which is why one product serves all heads.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hage_transfer.probes.batches import shuffled_batches
from hage_transfer.probes.moments import Moments, training_moments
from hage_transfer.probes.rows import LabelledFeatures
from hage_transfer.running.ticks import tick

EPS = 1e-6
"""Of AdamW. A balanced batch has no slope in the biases at the start but for rounding, and at torch's 1e-8 the sign of
that rounding would make a whole step."""


@dataclass(frozen=True)
class LinearProbes:
    """Trained probes of all heads, with each head's standardisation folded into its weights.

    Attributes:
        weights: of features from which ``shift`` is taken.
        biases: logits at ``shift``.
        shift: one reference row for all heads; it keeps the products small and changes no result.
    """

    weights: Float[Tensor, "head class feature"]
    biases: Float[Tensor, "head class"]
    shift: Float[Tensor, " feature"]

    def probabilities(
        self, features: LabelledFeatures | Float[np.ndarray, "row feature"], wanted: Bool[np.ndarray, "head row"]
    ) -> Float[np.ndarray, "head row class"]:
        """Class probabilities of the wanted rows of each head, from one pass; rows that are not wanted are NaN."""
        rows = LabelledFeatures.of(features)
        n_heads, n_classes, n_features = self.weights.shape
        found = np.full((n_heads, rows.n_rows, n_classes), np.nan, dtype=np.float32)
        flat = self.weights.reshape(-1, n_features).T
        for place, chunk in rows.chunks():
            logits = (chunk.to(self.shift.device) - self.shift) @ flat
            shares = (logits.unflatten(1, (n_heads, n_classes)) + self.biases).softmax(dim=2).cpu().numpy()
            for head in range(n_heads):
                chosen = wanted[head, place]
                found[head, place][chosen] = shares[chosen, head]
        return found


def train_probes(
    features: LabelledFeatures | Float[np.ndarray, "row feature"],
    labels: Int[np.ndarray, " row"],
    training: Bool[np.ndarray, "head row"],
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
    """Trains one linear layer per head with AdamW, all heads together.

    A batch without a training row of a head makes no step of that head. Weights start at zero, since the problem is
    convex: classes and features are then treated alike whatever their order, and a constant feature changes nothing.

    Reference: paper, section 3.2 (one layer, cross-entropy, 10 epochs); optimiser, batch and start are ours.

    Args:
        features: raw features of all rows, any float type.
        labels: class of each row.
        training: True where a head trains on a row.
        n_classes: width of the output.
        epochs: passes over all rows.
        batch_size: rows a step, of which each head uses its own.
        learning_rate: of AdamW.
        weight_decay: of AdamW; on the weights, not on the biases.
        standardise: scale features by the mean and std of each head's training rows.
        seed: of the order of rows.
        device: where the products are taken.

    Raises:
        SplitError: a head without training rows.
        DataError: NaN or infinity among the features.
    """
    rows = LabelledFeatures.of(features)
    moments = _on(training_moments(rows, training, standardise=standardise), device)
    heads = _Heads(len(training), n_classes, moments)
    optimiser = heads.optimiser(learning_rate=learning_rate, weight_decay=weight_decay)
    targets, masks = torch.from_numpy(labels), torch.from_numpy(np.ascontiguousarray(training.T))
    generator = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(
        rows, shift=moments.shift.cpu(), epochs=epochs, batch_size=batch_size, generator=generator
    )
    steps = epochs * -(-len(labels) // batch_size)
    for step, (chosen, centred) in enumerate(batches):
        tick(step / steps)
        kept = masks[chosen]
        heads.set_gradients(centred.to(device), targets[chosen].to(device), kept.to(device))
        heads.skip((~kept.any(dim=0)).nonzero().flatten().tolist())
        optimiser.step()
    return LinearProbes(*heads.for_raw_rows(), moments.shift)


class _Heads:
    """Weights of all heads in one tensor; the optimiser sees one parameter a head, so that each steps by itself."""

    def __init__(self, n_heads: int, n_classes: int, moments: Moments) -> None:
        self._moments = moments
        shape = n_heads, n_classes, len(moments.shift)
        device = moments.shift.device
        self._weights = torch.zeros(shape, device=device)
        self._biases = torch.zeros(shape[:2], device=device)
        self._layers = [torch.nn.Parameter(weight) for weight in self._weights]  # views
        self._offsets = [torch.nn.Parameter(bias) for bias in self._biases]

    def optimiser(self, *, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        groups = [
            {"params": self._layers, "weight_decay": weight_decay},
            {"params": self._offsets, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, eps=EPS, fused=True)

    @torch.no_grad()
    def for_raw_rows(self) -> tuple[Float[Tensor, "head class feature"], Float[Tensor, "head class"]]:
        """Weights and biases that do to (shifted) raw rows what each head's own do to its standardised rows."""
        raw = self._weights / self._moments.scale.unsqueeze(1)
        return raw, self._biases - (raw @ self._moments.mean.unsqueeze(2)).squeeze(2)

    @torch.no_grad()
    def set_gradients(
        self,
        centred: Float[Tensor, "batch feature"],
        targets: Int[Tensor, " batch"],
        kept: Bool[Tensor, "batch head"],
    ) -> None:
        """Gradients of every head's mean cross-entropy over its kept rows.

        With s = softmax(z) and t the target's indicator, dL/dz = (s - t) / n on kept rows. For z = W (x - m) / c + b:
        dL/db = sum dL/dz, dL/dW = (sum dL/dz x - dL/db m) / c, so rows are multiplied once for all heads. ``centred``
        is rows less the shift, from which m is measured too.
        """
        moments = self._moments
        raw_weights, raw_biases = self.for_raw_rows()
        slopes = (centred @ raw_weights.flatten(0, 1).T).unflatten(1, raw_biases.shape).add_(raw_biases).softmax(dim=2)
        slopes.scatter_add_(
            2, targets[:, None, None].expand(-1, len(raw_biases), 1), -torch.ones_like(slopes[:, :, :1])
        )
        slopes *= (kept / kept.sum(dim=0).clamp(min=1)).unsqueeze(2)
        of_biases = slopes.sum(dim=0)
        of_rows = (slopes.flatten(1).T @ centred).unflatten(0, raw_biases.shape)
        of_weights = (of_rows - of_biases.unsqueeze(2) * moments.mean.unsqueeze(1)) / moments.scale.unsqueeze(1)
        for head, (layer, offset) in enumerate(zip(self._layers, self._offsets, strict=True)):
            layer.grad, offset.grad = of_weights[head], of_biases[head]

    def skip(self, heads: list[int]) -> None:
        """Leaves heads out of the next step: AdamW takes a parameter without gradient as no step."""
        for head in heads:
            self._layers[head].grad = self._offsets[head].grad = None


def _on(moments: Moments, device: str) -> Moments:
    return Moments(moments.shift.to(device), moments.mean.to(device), moments.scale.to(device))
