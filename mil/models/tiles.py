"""Tiles of one bag as several folds see them: one array for all of them, or an array each.

A fold sees a tile scaled by its own training tiles, (x - mean) / std. That is affine, so a linear layer on it is
another linear layer on x itself, and one product serves the layers of all folds::

    W ((x - m) / s) + b = (W / s) x + (b - (W / s) m)

Where tiles are fewer than a layer's units, scaling the tiles for each fold costs less than scaling the layers.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.mil.models.layers import for_unscaled, linear


@dataclass(frozen=True)
class SharedTiles:
    """One array of tiles for all folds, with each fold's scaling.

    Attributes:
        rows: features as they are read.
        mean: taken from every tile.
        std: by which it is then divided.
        is_scaled: False where every mean is 0 and every std 1, so that there is nothing to do.
    """

    rows: Float[Tensor, "tile feature"]
    mean: Float[Tensor, "fold feature"]
    std: Float[Tensor, "fold feature"]
    is_scaled: bool = True

    def linear(
        self, weight: Float[Tensor, "fold out feature"], bias: Float[Tensor, "fold out"]
    ) -> Float[Tensor, "fold tile out"]:
        """A linear layer of each fold on its scaled tiles."""
        return linear(*self.scaled(weight, bias))

    def scaled(
        self, weight: Float[Tensor, "fold out feature"], bias: Float[Tensor, "fold out"]
    ) -> tuple[Float[Tensor, "fold tile feature"], Tensor, Tensor]:
        """Tiles, weight and bias of a layer on scaled tiles; few tiles are scaled themselves, else the weights."""
        if not self.is_scaled or len(self.rows) < weight.shape[1]:
            return self.each(), weight, bias
        return self.rows.expand(len(weight), -1, -1), *for_unscaled(weight, bias, self.mean, self.std)

    def pool(self, attention: Float[Tensor, "fold branch tile"]) -> Float[Tensor, "fold branch feature"]:
        """Weighted sums of scaled tiles."""
        sums = (attention.flatten(0, 1) @ self.rows).unflatten(0, attention.shape[:2])
        if not self.is_scaled:
            return sums
        return (sums - attention.sum(dim=2, keepdim=True) * self.mean.unsqueeze(1)) / self.std.unsqueeze(1)

    def at(self, places: Int[Tensor, "fold chosen"]) -> Float[Tensor, "fold chosen feature"]:
        """Chosen tiles of each fold, scaled."""
        chosen = self.rows[places]
        return (chosen - self.mean.unsqueeze(1)) / self.std.unsqueeze(1) if self.is_scaled else chosen

    def each(self) -> Float[Tensor, "fold tile feature"]:
        """All tiles of each fold, scaled: an array for every fold, or one that all see."""
        if not self.is_scaled:
            return self.rows.expand(len(self.mean), -1, -1)
        return (self.rows - self.mean.unsqueeze(1)).div_(self.std.unsqueeze(1))


@dataclass(frozen=True)
class OwnTiles:
    """An array of tiles for each fold: what its first layer made of them."""

    rows: Float[Tensor, "fold tile hidden"]

    def linear(
        self, weight: Float[Tensor, "fold out hidden"], bias: Float[Tensor, "fold out"]
    ) -> Float[Tensor, "fold tile out"]:
        """A linear layer of each fold on its tiles."""
        return linear(self.rows, weight, bias)

    def scaled(
        self, weight: Float[Tensor, "fold out hidden"], bias: Float[Tensor, "fold out"]
    ) -> tuple[Float[Tensor, "fold tile hidden"], Tensor, Tensor]:
        """Tiles, weight and bias of such a layer, as they are."""
        return self.rows, weight, bias

    def pool(self, attention: Float[Tensor, "fold branch tile"]) -> Float[Tensor, "fold branch hidden"]:
        """Weighted sums of tiles."""
        return torch.bmm(attention, self.rows)

    def at(self, places: Int[Tensor, "fold chosen"]) -> Float[Tensor, "fold chosen hidden"]:
        """Chosen tiles of each fold."""
        return self.rows.gather(1, places.unsqueeze(2).expand(-1, -1, self.rows.shape[2]))

    def each(self) -> Float[Tensor, "fold tile hidden"]:
        """All tiles of each fold."""
        return self.rows


Tiles = SharedTiles | OwnTiles
