"""Bag classifiers that look at tiles one by one and pool them: written once, for one model and for many folds at once.

Weights come with a leading axis of folds, so that the model of one fold and the stack of all folds take the same steps.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hage_transfer.errors import DataError
from hage_transfer.mil.models.layers import hidden
from hage_transfer.mil.models.output import MILOutput
from hage_transfer.mil.models.tiles import OwnTiles, SharedTiles, Tiles

Weights = Mapping[str, Tensor]
"""Parameters by name, each with a leading axis of folds."""
Kept = Mapping[str, Float[Tensor, "tile _"]]
"""Dropout: by layer, 0 where a unit is dropped and 1 / (share kept) elsewhere; the same for all folds."""


class TilewiseMIL(nn.Module, ABC):
    """h_k = dropout(ReLU(W_h x_k + b_h)) for every tile, scores of the tiles, and a classifier of what they pool to.

    With ``hidden_dim=0`` the first layer is left out: h_k = dropout(x_k).

    Attributes:
        n_branches: attentions: one, or one a class.
        is_hard: whether a branch takes the one tile of highest score in place of a weighted mean.
        bag_weight: share of the bag's loss in the whole; the rest is that of the tiles.
    """

    is_hard: ClassVar[bool] = False
    bag_weight: float = 1.0

    def __init__(
        self, feature_dim: int, *, hidden_dim: int, dropout: float, n_classes: int, n_branches: int = 1
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(feature_dim, hidden_dim) if hidden_dim else None
        self.feature_dim, self.hidden_dim = feature_dim, hidden_dim or feature_dim
        self.dropout, self.n_classes, self.n_branches = dropout, n_classes, n_branches

    @property
    def dropout_widths(self) -> dict[str, int]:
        """Layers with dropout, and the width of each."""
        return {"embed": self.hidden_dim} if self.dropout else {}

    @abstractmethod
    def scores(self, weights: Weights, tiles: Tiles, kept: Kept) -> Float[Tensor, "fold branch tile"]:
        """Scores of the tiles, whose softmax over a bag is the attention."""

    @abstractmethod
    def classify(
        self, weights: Weights, pooled: Float[Tensor, "fold bag branch hidden"]
    ) -> Float[Tensor, "fold bag class"]:
        """Logits of what the tiles of a bag pool to."""

    def hidden(self, weights: Weights, tiles: SharedTiles, kept: Kept) -> Tiles:
        """Tiles behind the first layer; where there is none and no dropout, the tiles themselves."""
        if self.embed is not None:
            layer = tiles.scaled(weights["embed.weight"], weights["embed.bias"])
            return OwnTiles(hidden(*layer, kept.get("embed")))
        return OwnTiles(tiles.each() * kept["embed"]) if "embed" in kept else tiles

    def hidden_and_scores(
        self, weights: Weights, tiles: SharedTiles, kept: Kept
    ) -> tuple[Tiles, Float[Tensor, "fold branch tile"]]:
        """Tiles behind the first layer, and their scores."""
        behind = self.hidden(weights, tiles, kept)
        return behind, self.scores(weights, behind, kept)

    def forward(self, bag: Float[Tensor, "bag tile feature"], mask: Bool[Tensor, "bag tile"]) -> MILOutput:
        """Classifies bags of scaled features.

        Args:
            bag: features, padded to the longest bag with any finite numbers.
            mask: True where a tile is real.

        Raises:
            DataError: a bag without a kept tile.
        """
        refuse_empty(mask)
        rows = bag.flatten(0, 1)
        weights = {name: value.unsqueeze(0) for name, value in self.named_parameters()}
        unscaled = SharedTiles(rows, rows.new_zeros(1, rows.shape[1]), rows.new_ones(1, rows.shape[1]), False)
        kept = self._drawn(rows) if self.training else {}
        tiles, scores = self.hidden_and_scores(weights, unscaled, kept)
        scores = scores[0].unflatten(1, mask.shape).masked_fill(~mask, float("-inf"))
        attention = self.attention(scores)
        pooled = torch.einsum("sbt,bth->bsh", attention, tiles.each()[0].unflatten(0, mask.shape))
        logits = self.classify(weights, pooled.unsqueeze(0))[0]
        if self.n_branches == 1:
            return MILOutput(logits, attention[0])
        own = attention[logits.argmax(dim=1), torch.arange(len(bag), device=bag.device)]
        return MILOutput(logits, own, attention.transpose(0, 1))

    def attention(self, scores: Float[Tensor, "*any tile"]) -> Float[Tensor, "*any tile"]:
        """Weights of the tiles: softmax of their scores, or 1 at the highest."""
        if not self.is_hard:
            return scores.softmax(dim=-1)
        highest = scores.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(scores).scatter_(-1, highest, 1.0)

    def instance_tiles(
        self, scores: Float[Tensor, "fold branch tile"], target: int
    ) -> Int[Tensor, "fold chosen"] | None:
        """Tiles that a loss of their own is taken on; None: the model has none."""
        return None

    def instance_loss(
        self, weights: Weights, hidden: Float[Tensor, "fold chosen hidden"], target: int
    ) -> Float[Tensor, " fold"]:
        """That loss."""
        raise NotImplementedError

    def _drawn(self, rows: Tensor) -> dict[str, Tensor]:
        share = 1.0 - self.dropout
        return {
            name: torch.bernoulli(rows.new_full((len(rows), width), share)) / share
            for name, width in self.dropout_widths.items()
        }


def refuse_empty(mask: Bool[Tensor, "bag tile"]) -> None:
    """Raises DataError for a bag without a tile."""
    empty = torch.nonzero(~mask.any(dim=1)).flatten().tolist()
    if empty:
        raise DataError(f"bag {empty[0]} of the batch has no tile: every place of its mask is False")
