"""Pooling without attention: the mean of all tiles, or the one tile that speaks most for the positive class."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.mil.models.tiles import Tiles
from hage_transfer.mil.models.tilewise import Kept, TilewiseMIL, Weights


class _LinearMIL(TilewiseMIL):
    def __init__(self, feature_dim: int, *, hidden_dim: int = 512, dropout: float = 0.25, n_classes: int = 2) -> None:
        super().__init__(feature_dim, hidden_dim=hidden_dim, dropout=dropout, n_classes=n_classes)
        self.classifier = nn.Linear(self.hidden_dim, n_classes)

    def classify(
        self, weights: Weights, pooled: Float[Tensor, "fold bag branch hidden"]
    ) -> Float[Tensor, "fold bag class"]:
        """The linear classifier."""
        of_bag = pooled[:, :, 0] @ weights["classifier.weight"].transpose(1, 2)
        return of_bag + weights["classifier.bias"].unsqueeze(1)


class MeanMIL(_LinearMIL):
    """Every tile counts alike: a_k = 1 / N."""

    def scores(self, weights: Weights, tiles: Tiles, kept: Kept) -> Float[Tensor, "fold branch tile"]:
        """Zero for every tile."""
        bias = weights["classifier.bias"]
        return bias.new_zeros(len(bias), 1, tiles.rows.shape[-2])


class MaxMIL(_LinearMIL):
    """The bag is its one tile of highest probability: CLAM's ``mil``.

    With two classes it is the tile that is most of the positive class, with more the tile that is most sure of any.
    Only that tile has a gradient.

    Reference: Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide images", Nature
    Biomedical Engineering 2021 (the max-pooling baseline).
    """

    is_hard: ClassVar[bool] = True

    def __init__(
        self,
        feature_dim: int,
        *,
        hidden_dim: int = 512,
        dropout: float = 0.25,
        n_classes: int = 2,
        positive: int | None = None,
    ) -> None:
        super().__init__(feature_dim, hidden_dim=hidden_dim, dropout=dropout, n_classes=n_classes)
        self.positive = (1 if positive is None else positive) if n_classes == 2 else None

    @torch.no_grad()
    def scores(self, weights: Weights, tiles: Tiles, kept: Kept) -> Float[Tensor, "fold branch tile"]:
        """Probability of the positive class, or of the most probable one; the output where there is one alone."""
        outputs = tiles.linear(weights["classifier.weight"], weights["classifier.bias"])
        shares = outputs if self.n_classes == 1 else outputs.softmax(dim=2)
        of_tile = shares.amax(dim=2) if self.positive is None else shares[:, :, self.positive]
        return of_tile.unsqueeze(1)
