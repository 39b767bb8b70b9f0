"""The paper's probe: one linear layer, cross-entropy, 10 epochs; all heads trained together from one pass.

A head is one linear layer with training rows of its own: a fold, or a fold's draw of few labels. Every batch is read
once and multiplied once with the weights of all heads; a head's loss is the mean over the batch's rows that it trains
on. Heads share nothing else, so each comes out as if trained alone on the same order of rows (the tests say so).
Standardisation by a head's own training rows is folded into its weights, which is why one product serves all heads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hage_transfer.probes.batches import shuffled_batches
from hage_transfer.probes.moments import Moments, training_moments
from hage_transfer.probes.rows import LabelledFeatures
from hage_transfer.running.devices import to_device
from hage_transfer.running.ticks import tick
from hage_transfer.targets.fitting import FoldTargets

EPS = 1e-6
"""Of AdamW. A balanced batch has no slope in the biases at the start but for rounding, and at torch's 1e-8 the sign of
that rounding would make a whole step."""

Slopes = Callable[[Int[np.ndarray, " batch"], Tensor, Tensor], Tensor]
"""Of a batch's rows, (batch, head, output) of them and which (batch, head) are kept, to each head's dL/d(output)."""


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
        return torch.from_numpy(self.outputs(features, wanted)).softmax(dim=2).numpy()

    def outputs(
        self, features: LabelledFeatures | Float[np.ndarray, "row feature"], wanted: Bool[np.ndarray, "head row"]
    ) -> Float[np.ndarray, "head row output"]:
        """What the heads put out, likewise."""
        rows = LabelledFeatures.of(features)
        n_heads, n_classes, n_features = self.weights.shape
        found = np.full((n_heads, rows.n_rows, n_classes), np.nan, dtype=np.float32)
        flat = self.weights.reshape(-1, n_features).T
        for place, chunk in rows.chunks():
            products = (to_device(chunk, self.shift.device) - self.shift) @ flat
            outputs = (products.unflatten(1, (n_heads, n_classes)) + self.biases).cpu().numpy()
            for head in range(n_heads):
                chosen = wanted[head, place]
                found[head, place][chosen] = outputs[chosen, head]
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
    target: FoldTargets | None = None,
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
        target: what is learnt in place of the labels, fitted to each head's rows; ``n_classes`` are then its outputs.

    Raises:
        SplitError: a head without training rows.
        DataError: NaN or infinity among the features.
    """
    rows = LabelledFeatures.of(features)
    moments = _on(training_moments(rows, training, standardise=standardise), device)
    heads = _Heads(len(training), n_classes, moments)
    optimiser = heads.optimiser(learning_rate=learning_rate, weight_decay=weight_decay)
    slopes = _class_slopes(labels) if target is None else _target_slopes(target)
    masks = torch.from_numpy(np.ascontiguousarray(training.T))
    generator = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(
        rows, shift=moments.shift.cpu(), epochs=epochs, batch_size=batch_size, generator=generator
    )
    steps = epochs * -(-len(labels) // batch_size)
    for step, (chosen, centred) in enumerate(batches):
        tick(step / steps)
        kept = masks[chosen]
        there = to_device(centred, device), to_device(kept, device)
        heads.set_gradients(*there, lambda *batch: slopes(chosen, *batch))  # noqa: B023
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
        kept: Bool[Tensor, "batch head"],
        slopes_of: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        """Gradients of every head's mean loss over its kept rows.

        For z = W (x - m) / c + b: dL/db = sum dL/dz, dL/dW = (sum dL/dz x - dL/db m) / c, so rows are multiplied once
        for all heads. ``centred`` is rows less the shift, from which m is measured too; ``slopes_of`` makes dL/dz of
        outputs and ``kept``.
        """
        moments = self._moments
        raw_weights, raw_biases = self.for_raw_rows()
        outputs = (centred @ raw_weights.flatten(0, 1).T).unflatten(1, raw_biases.shape).add_(raw_biases)
        slopes = slopes_of(outputs, kept)
        of_biases = slopes.sum(dim=0)
        of_rows = (slopes.flatten(1).T @ centred).unflatten(0, raw_biases.shape)
        of_weights = (of_rows - of_biases.unsqueeze(2) * moments.mean.unsqueeze(1)) / moments.scale.unsqueeze(1)
        for head, (layer, offset) in enumerate(zip(self._layers, self._offsets, strict=True)):
            layer.grad, offset.grad = of_weights[head], of_biases[head]

    def skip(self, heads: list[int]) -> None:
        """Leaves heads out of the next step: AdamW takes a parameter without gradient as no step."""
        for head in heads:
            self._layers[head].grad = self._offsets[head].grad = None


def _class_slopes(labels: Int[np.ndarray, " row"]) -> Slopes:
    """Of the mean cross-entropy: with s = softmax(z) and t the class's indicator, (s - t) / n on kept rows."""
    targets = torch.from_numpy(labels)

    def slopes(rows: np.ndarray, outputs: Tensor, kept: Tensor) -> Tensor:
        found, own = outputs.softmax(dim=2), to_device(targets[rows], outputs.device)
        found.scatter_add_(2, own[:, None, None].expand(-1, found.shape[1], 1), -torch.ones_like(found[:, :, :1]))
        return found.mul_((kept / kept.sum(dim=0).clamp(min=1)).unsqueeze(2))

    return slopes


def _target_slopes(targets: FoldTargets) -> Slopes:
    """Of a target's loss of the kept rows together, by autograd."""

    def slopes(rows: np.ndarray, outputs: Tensor, kept: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            losses = targets.target.set_loss(leaf.transpose(0, 1), targets.wanted[:, rows], kept.T)
            return torch.autograd.grad(losses.sum(), leaf)[0]

    return slopes


def _on(moments: Moments, device: str) -> Moments:
    return Moments(moments.shift.to(device), moments.mean.to(device), moments.scale.to(device))
