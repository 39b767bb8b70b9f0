"""Bag classifiers that are given a bag at a time: those of a user's own, and torchmil's."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.errors import DataError
from hage_transfer.mil.draws import fixed_draws
from hage_transfer.mil.models.output import MILOutput
from hage_transfer.mil.models.tilewise import refuse_empty


class WholeBagMIL(nn.Module, ABC):
    """A classifier of one bag of any size, trained fold by fold: its folds have nothing that could be stacked.

    Attributes:
        needs_coords: whether it wants to know where the tiles lie.
    """

    needs_coords: bool = False

    @abstractmethod
    def classify(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None
    ) -> tuple[Float[Tensor, " class"], Float[Tensor, " tile"]]:
        """Logits of one bag, and a number a tile that is not negative; the attention is its share of their sum."""

    def logits(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None = None
    ) -> Float[Tensor, " class"]:
        """Logits of one bag alone."""
        return self.classify(tiles, coords)[0]

    def loss(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None, target: int
    ) -> Float[Tensor, ""]:
        """What is minimised: cross-entropy of the bag's class."""
        targets = torch.tensor([target], device=tiles.device)
        return functional.cross_entropy(self.logits(tiles, coords)[None], targets)

    @torch.no_grad()
    def judged(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None = None
    ) -> Float[Tensor, " class"]:
        """Logits without dropout; a model that draws even then draws the same each time."""
        with fixed_draws(0, tiles.device):
            return self.eval().logits(tiles, coords)

    def forward(
        self,
        bag: Float[Tensor, "bag tile feature"],
        mask: Bool[Tensor, "bag tile"],
        coords: Int[Tensor, "bag tile 2"] | None = None,
    ) -> MILOutput:
        """Classifies bags of scaled features, each without its padding, and says what the tiles counted for.

        Raises:
            DataError: a bag without a kept tile; weights of tiles that are negative, no numbers, or all 0.
        """
        refuse_empty(mask)
        logits, attention = [], torch.zeros_like(mask, dtype=bag.dtype)
        for number, (tiles, kept) in enumerate(zip(bag, mask, strict=True)):
            with fixed_draws(0, bag.device):
                of_bag, weights = self.classify(tiles[kept], None if coords is None else coords[number][kept])
            total = weights.sum()
            if not bool(torch.isfinite(total)) or bool((weights < 0).any()) or not bool(total > 0):
                raise DataError(
                    f"{self.title}: its attention holds negative numbers, NaN or zeros alone; a bag classifier gives "
                    "each tile a weight of at least 0 (softmax its scores)"
                )
            logits.append(of_bag)
            attention[number, kept] = weights / total
        return MILOutput(torch.stack(logits), attention)

    @property
    def title(self) -> str:
        """How messages name it."""
        return type(self).__name__
