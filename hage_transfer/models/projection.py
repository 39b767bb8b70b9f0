"""A projection head on frozen features in an encoder directory: the image tower of BLEEP and mclSTExp."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.models.blocks import ProjectionHead, Standardise
from hage_transfer.models.stored_encoder import StoredEncoder


class ProjectionEncoder(StoredEncoder):
    """``ProjectionHead`` on what ``images`` makes of its input.

    Args:
        images: from a spot's features (or pixels) to numbers of one scale.
        feature_dim: how many these are.
        embed_dim: of the common space.
        dropout: of the head.
    """

    form: ClassVar[str] = "projection"

    def __init__(self, images: nn.Module, feature_dim: int, *, embed_dim: int, dropout: float = 0.0) -> None:
        super().__init__(feature_dim=feature_dim, embed_dim=embed_dim)
        self.images = images
        self.head = ProjectionHead(feature_dim, embed_dim=embed_dim, dropout=dropout)

    @classmethod
    def build(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Of the sizes that the card states."""
        return cls(Standardise.of_width(card["feature_dim"]), card["feature_dim"], embed_dim=card["embed_dim"])

    def forward(self, features: Tensor) -> Float[Tensor, "batch embed"]:
        """Embeddings, LayerNormed and not of unit length."""
        return self.head(self.images(features))
