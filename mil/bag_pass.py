"""One bag through the classifiers of several folds at once: logits, or loss and gradients.

A bag of at most ``CHUNK_TILES`` tiles goes through as a whole. A larger one goes through in chunks, twice: the first
time for its scores and its pooled tiles, the second for the gradients, for which each chunk is computed again. Memory
then does not grow with the bag but for its features. With L the loss, s_k the scores, h_k the tiles and z = sum a_k h_k
the pooled tiles, every chunk adds its share of the gradient of

    sum_k exp(s_k - lse) (dL/dz . (h_k - z)),   lse and z constant,

which is that of L, since dL/ds_k = a_k dL/dz . (h_k - z) and dL/dh_k = a_k dL/dz.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hage_transfer.mil.draws import Dropout
from hage_transfer.mil.models.tiles import SharedTiles, Tiles
from hage_transfer.mil.models.tilewise import TilewiseMIL, Weights

CHUNK_TILES = 16_384
NO_DROPOUT = Dropout({}, 1.0)
LossOf = Callable[[Float[Tensor, "fold output"]], Float[Tensor, " fold"]]
"""What the folds put out for a bag, to the loss of each."""


@dataclass(frozen=True)
class Folds:
    """Some folds' classifiers of one form.

    Attributes:
        model: its form; the weights are those below.
        weights: by name, with a leading axis of folds.
        mean: each fold's scaling of features.
        std: likewise.
    """

    model: TilewiseMIL
    weights: Weights
    mean: Float[Tensor, "fold feature"]
    std: Float[Tensor, "fold feature"]

    def tiles(
        self, rows: Float[Tensor, "tile feature"], kept: dict[str, Tensor]
    ) -> tuple[Tiles, Float[Tensor, "fold branch tile"]]:
        """Tiles behind the first layer, and their scores."""
        tiles = self.model.hidden(self.weights, SharedTiles(rows, self.mean, self.std), kept)
        return tiles, self.model.scores(self.weights, tiles, kept)

    def classify(self, pooled: Float[Tensor, "fold branch hidden"]) -> Float[Tensor, "fold class"]:
        """Logits of pooled tiles, float32."""
        return self.model.classify(self.weights, pooled.unsqueeze(1))[:, 0].float()


@torch.no_grad()
def bag_logits(folds: Folds, rows: Float[Tensor, "tile feature"]) -> Float[Tensor, "fold class"]:
    """Logits of a bag, without dropout."""
    if folds.model.is_hard:
        return folds.classify(_chosen(folds, rows, _all_scores(folds, rows, NO_DROPOUT).argmax(dim=2), NO_DROPOUT))
    return folds.classify(_pooled(folds, rows, NO_DROPOUT)[0])


def backward(
    folds: Folds,
    rows: Float[Tensor, "tile feature"],
    target: int,
    *,
    dropout: Dropout,
    loss_weight: Float[Tensor, " fold"],
    loss_of: LossOf | None = None,
) -> None:
    """Adds the gradients of each fold's weighted loss on a bag to the folds' weights.

    Args:
        folds: their classifiers.
        rows: tiles of the bag.
        target: its class.
        dropout: of this visit.
        loss_weight: of each fold.
        loss_of: outputs of the folds to their losses; None: cross-entropy of the class.
    """
    loss_of = loss_of or partial(_cross_entropy, target)
    if folds.model.is_hard:
        _backward_hard(folds, rows, loss_of, dropout, loss_weight)
    elif len(rows) <= CHUNK_TILES:
        tiles, scores = folds.tiles(rows, dropout.kept(slice(None), rows.device))
        loss = _bag_loss(folds, tiles.pool(scores.softmax(dim=2)), loss_of)
        places = folds.model.instance_tiles(scores.detach(), target)
        if places is not None:
            of_tiles = folds.model.instance_loss(folds.weights, tiles.at(places), target)
            loss = loss + (1 - folds.model.bag_weight) * of_tiles
        (loss * loss_weight).sum().backward()
    else:
        _backward_in_chunks(folds, rows, target, loss_of, dropout, loss_weight)


def _cross_entropy(target: int, logits: Float[Tensor, "fold class"]) -> Float[Tensor, " fold"]:
    targets = torch.full((len(logits),), target, device=logits.device)
    return functional.cross_entropy(logits, targets, reduction="none")


def _bag_loss(folds: Folds, pooled: Float[Tensor, "fold branch hidden"], loss_of: LossOf) -> Float[Tensor, " fold"]:
    return folds.model.bag_weight * loss_of(folds.classify(pooled))


def _backward_hard(folds: Folds, rows: Tensor, loss_of: LossOf, dropout: Dropout, loss_weight: Tensor) -> None:
    """One tile of each fold has all the weight, so only those tiles have a gradient."""
    with torch.no_grad():
        highest = _all_scores(folds, rows, dropout).argmax(dim=2)
    tiles = _chosen(folds, rows, highest, dropout)
    (_bag_loss(folds, tiles, loss_of) * loss_weight).sum().backward()


def _backward_in_chunks(
    folds: Folds, rows: Tensor, target: int, loss_of: LossOf, dropout: Dropout, loss_weight: Tensor
) -> None:
    with torch.no_grad():
        pooled, normaliser, scores = _pooled(folds, rows, dropout)
    pooled.requires_grad_()
    (_bag_loss(folds, pooled, loss_of) * loss_weight).sum().backward()
    slope = torch.zeros_like(pooled) if pooled.grad is None else pooled.grad
    pooled = pooled.detach()
    for part in _parts(rows):
        tiles, of_part = folds.tiles(rows[part], dropout.kept(part, rows.device))
        attention = (of_part - normaliser).exp()
        centred = tiles.pool(attention) - attention.sum(dim=2, keepdim=True) * pooled
        if centred.requires_grad:  # features that are pooled evenly have nothing to learn from
            (slope * centred).sum().backward()
    places = folds.model.instance_tiles(scores, target)
    if places is not None:
        of_tiles = folds.model.instance_loss(folds.weights, _chosen(folds, rows, places, dropout), target)
        ((1 - folds.model.bag_weight) * of_tiles * loss_weight).sum().backward()


def _chosen(folds: Folds, rows: Tensor, places: Tensor, dropout: Dropout) -> Tensor:
    """Some tiles of each fold behind its first layer: few, so every fold computes those of all."""
    every = places.flatten()
    kept = dropout.kept(every, rows.device)
    tiles = folds.model.hidden(folds.weights, SharedTiles(rows[every], folds.mean, folds.std), kept)
    return tiles.at(torch.arange(len(every), device=rows.device).view_as(places))


def _all_scores(folds: Folds, rows: Tensor, dropout: Dropout) -> Float[Tensor, "fold branch tile"]:
    return torch.cat([folds.tiles(rows[part], dropout.kept(part, rows.device))[1] for part in _parts(rows)], dim=2)


def _pooled(folds: Folds, rows: Tensor, dropout: Dropout) -> tuple[Tensor, Tensor, Tensor]:
    """Pooled tiles, the log of the softmax's denominator, and all scores; from one pass over the chunks."""
    first, *others = _parts(rows)
    pooled, normaliser, scores = _pooled_part(folds, rows, first, dropout)
    found = [scores]
    for part in others:
        mean, of_part, scores = _pooled_part(folds, rows, part, dropout)
        both = torch.logaddexp(normaliser, of_part)
        pooled = pooled * (normaliser - both).exp() + mean * (of_part - both).exp()
        normaliser = both
        found.append(scores)
    return pooled, normaliser, torch.cat(found, dim=2)


def _pooled_part(folds: Folds, rows: Tensor, part: slice, dropout: Dropout) -> tuple[Tensor, Tensor, Tensor]:
    tiles, scores = folds.tiles(rows[part], dropout.kept(part, rows.device))
    return tiles.pool(scores.softmax(dim=2)), scores.logsumexp(dim=2, keepdim=True), scores


def _parts(rows: Tensor) -> list[slice]:
    return [slice(start, min(start + CHUNK_TILES, len(rows))) for start in range(0, len(rows), CHUNK_TILES)]
