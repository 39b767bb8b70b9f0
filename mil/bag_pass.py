"""Bags through the classifiers of several folds at once: logits, or loss and gradients.

At most ``CHUNK_TILES`` tiles go through as a whole, of one bag or of several, whose tiles then share the products. A
larger bag goes through in chunks, twice: the first time for its scores and its pooled tiles, the second for the
gradients, for which each chunk is computed again. Memory then does not grow with the bag but for its features. With L
the loss, s_k the scores, h_k the tiles and z = sum a_k h_k the pooled tiles, every chunk adds its share of the gradient
of

    sum_k exp(s_k - lse) (dL/dz . (h_k - z)),   lse and z constant,

which is that of L, since dL/ds_k = a_k dL/dz . (h_k - z) and dL/dh_k = a_k dL/dz.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hage_transfer.mil.draws import Dropout
from hage_transfer.mil.models.tiles import SharedTiles, Tiles
from hage_transfer.mil.models.tilewise import TilewiseMIL, Weights
from hage_transfer.mil.visits import Visit
from hage_transfer.running.devices import to_device

CHUNK_TILES = 16_384
NO_DROPOUT = Dropout({}, 1.0)


@dataclass(frozen=True)
class Folds:
    """Some folds' classifiers of one form.

    Attributes:
        numbers: of the folds.
        model: its form; the weights are those below.
        weights: by name, with a leading axis of folds.
        mean: each fold's scaling of features.
        std: likewise.
        is_scaled: False where means are 0 and stds 1.
    """

    numbers: Sequence[int]
    model: TilewiseMIL
    weights: Weights
    mean: Float[Tensor, "fold feature"]
    std: Float[Tensor, "fold feature"]
    is_scaled: bool = True

    def shared(self, rows: Float[Tensor, "tile feature"]) -> SharedTiles:
        """Tiles as they are read, with each fold's scaling."""
        return SharedTiles(rows, self.mean, self.std, self.is_scaled)

    def tiles(
        self, rows: Float[Tensor, "tile feature"], kept: dict[str, Tensor]
    ) -> tuple[Tiles, Float[Tensor, "fold branch tile"]]:
        """Tiles behind the first layer, and their scores."""
        return self.model.hidden_and_scores(self.weights, self.shared(rows), kept)

    def classify(self, pooled: Float[Tensor, "fold bag branch hidden"]) -> Float[Tensor, "fold bag class"]:
        """Logits of pooled tiles, float32."""
        return self.model.classify(self.weights, pooled).float()


@torch.no_grad()
def bag_logits(folds: Folds, rows: Float[Tensor, "tile feature"]) -> Float[Tensor, "fold class"]:
    """Logits of a bag, without dropout."""
    if folds.model.is_hard:
        highest = _all_scores(folds, rows, NO_DROPOUT).argmax(dim=2)
        return folds.classify(_chosen(folds, rows, highest, NO_DROPOUT).unsqueeze(1))[:, 0]
    return folds.classify(_pooled(folds, rows, NO_DROPOUT)[0].unsqueeze(1))[:, 0]


def backward(folds: Folds, visits: Sequence[Visit], loss_weight: Float[Tensor, "fold bag"]) -> None:
    """Adds the gradients of each fold's weighted losses on some bags to the folds' weights.

    Args:
        folds: their classifiers.
        visits: of the bags.
        loss_weight: of each fold and bag.
    """
    if sum(len(visit.tiles) for visit in visits) <= CHUNK_TILES or (len(visits) == 1 and folds.model.is_hard):
        _backward_whole(folds, visits, loss_weight)
    elif len(visits) == 1:
        _backward_in_chunks(folds, visits[0], loss_weight)
    else:
        for place, visit in enumerate(visits):
            backward(folds, [visit], loss_weight[:, place : place + 1])


def _backward_whole(folds: Folds, visits: Sequence[Visit], loss_weight: Tensor) -> None:
    rows = visits[0].tiles if len(visits) == 1 else torch.cat([visit.tiles for visit in visits])
    dropout, sizes = Dropout.joined([visit.dropout for visit in visits]), [len(visit.tiles) for visit in visits]
    if folds.model.is_hard:  # one tile of each fold and bag has all the weight, so only those have a gradient
        with torch.no_grad():
            highest = _of_bags(_all_scores(folds, rows, dropout), sizes).argmax(dim=3)
        pooled = _chosen(folds, rows, highest.flatten(1), dropout).unflatten(1, highest.shape[1:])
        loss = _bag_losses(folds, pooled.transpose(1, 2), visits)
    else:
        tiles, scores = folds.tiles(rows, dropout.kept(slice(None), rows.device))
        attention = _of_bags(scores, sizes).softmax(dim=3)
        pooled = tiles.pool(attention.flatten(1, 2)).unflatten(1, attention.shape[1:3])
        loss = _bag_losses(folds, pooled.transpose(1, 2), visits)
        found, start = [], 0
        for visit, size in zip(visits, sizes, strict=True):
            places = folds.model.instance_tiles(scores[:, :, start : start + size].detach(), visit.target)
            if places is not None:
                found.append(folds.model.instance_loss(folds.weights, tiles.at(start + places), visit.target))
            start += size
        if found:
            loss = loss + (1 - folds.model.bag_weight) * torch.stack(found, dim=1)
    (loss * loss_weight).sum().backward()


def _of_bags(scores: Float[Tensor, "fold branch tile"], sizes: Sequence[int]) -> Float[Tensor, "fold branch bag tile"]:
    """Scores of all tiles for each bag: -inf where a tile is another's."""
    if len(sizes) == 1:
        return scores.unsqueeze(2)
    numbers = torch.arange(len(sizes))
    others = numbers.repeat_interleave(torch.tensor(sizes)) != numbers.unsqueeze(1)
    return scores.unsqueeze(2).masked_fill(to_device(others, scores.device), float("-inf"))


def _bag_losses(folds: Folds, pooled: Tensor, visits: Sequence[Visit]) -> Float[Tensor, "fold bag"]:
    logits = folds.classify(pooled)
    if visits[0].loss is None:
        targets = to_device(torch.tensor([visit.target for visit in visits]), logits.device)
        found = functional.cross_entropy(logits.transpose(1, 2), targets.expand(len(logits), -1), reduction="none")
    else:
        of_bags = [visit.loss(folds.numbers, logits[:, place]) for place, visit in enumerate(visits) if visit.loss]
        found = torch.stack(of_bags, dim=1)
    return folds.model.bag_weight * found


def _backward_in_chunks(folds: Folds, visit: Visit, loss_weight: Float[Tensor, "fold 1"]) -> None:
    rows, dropout = visit.tiles, visit.dropout
    with torch.no_grad():
        pooled, normaliser, scores = _pooled(folds, rows, dropout)
    pooled.requires_grad_()
    (_bag_losses(folds, pooled.unsqueeze(1), [visit]) * loss_weight).sum().backward()
    slope = torch.zeros_like(pooled) if pooled.grad is None else pooled.grad
    pooled = pooled.detach()
    for part in _parts(rows):
        tiles, of_part = folds.tiles(rows[part], dropout.kept(part, rows.device))
        attention = (of_part - normaliser).exp()
        centred = tiles.pool(attention) - attention.sum(dim=2, keepdim=True) * pooled
        if centred.requires_grad:  # features that are pooled evenly have nothing to learn from
            (slope * centred).sum().backward()
    places = folds.model.instance_tiles(scores, visit.target)
    if places is not None:
        of_tiles = folds.model.instance_loss(folds.weights, _chosen(folds, rows, places, dropout), visit.target)
        ((1 - folds.model.bag_weight) * of_tiles * loss_weight[:, 0]).sum().backward()


def _chosen(folds: Folds, rows: Tensor, places: Tensor, dropout: Dropout) -> Tensor:
    """Some tiles of each fold behind its first layer: few, so every fold computes those of all."""
    every = places.flatten()
    kept = dropout.kept(every, rows.device)
    tiles = folds.model.hidden(folds.weights, folds.shared(rows[every]), kept)
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
