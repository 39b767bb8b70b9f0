"""A linear map of frozen features in an encoder directory: standardising, whitening, a ridge's prediction."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from hage_transfer.models.stored_encoder import StoredEncoder


class LinearEncoder(StoredEncoder):
    """z = (x - mean) @ weight + bias.

    Args:
        weight: what each feature adds to each embedding.
        mean: taken off the features; None: nothing.
        bias: added; None: nothing.

    >>> encoder = LinearEncoder(torch.eye(3)[:, :2], mean=torch.ones(3))
    >>> encoder(torch.tensor([[3.0, 4.0, 5.0]])).tolist()
    [[2.0, 3.0]]
    """

    form: ClassVar[str] = "linear"
    weight: Float[Tensor, "feature embed"]
    mean: Float[Tensor, " feature"]
    bias: Float[Tensor, " embed"]

    def __init__(
        self,
        weight: Float[Tensor, "feature embed"],
        *,
        mean: Float[Tensor, " feature"] | None = None,
        bias: Float[Tensor, " embed"] | None = None,
    ) -> None:
        super().__init__(feature_dim=weight.shape[0], embed_dim=weight.shape[1])
        self.register_buffer("weight", weight.float())
        self.register_buffer("mean", torch.zeros(self.feature_dim) if mean is None else mean.float())
        self.register_buffer("bias", torch.zeros(self.embed_dim) if bias is None else bias.float())

    @classmethod
    def build(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Of the sizes that the card states."""
        return cls(torch.zeros(card["feature_dim"], card["embed_dim"]))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        """The map of each row."""
        return (features - self.mean) @ self.weight + self.bias
