"""What transfer is given of a gene-informed encoder beside plain embeddings: the frozen kept with them, or whitened."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor

from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.stored_encoder import StoredEncoder

Export = Literal["residual", "whitened"]


class DerivedEncoder(StoredEncoder):
    """z = [scale(x), head(g(x))]: embeddings g(x) through a linear map, with the frozen x kept beside them or not.

    Args:
        encoder: g, the gene-informed encoder.
        head: linear, of g(x).
        kept: linear, of the frozen features; None: they are not kept.

    >>> encoder = GeneInformedEncoder(None, feature_dim=3, embed_dim=8)
    >>> DerivedEncoder(encoder, LinearEncoder(torch.eye(8)), LinearEncoder(torch.eye(3)))(torch.zeros(2, 3)).shape
    torch.Size([2, 11])
    """

    form: ClassVar[str] = "derived"

    def __init__(self, encoder: GeneInformedEncoder, head: LinearEncoder, kept: LinearEncoder | None = None) -> None:
        width = head.embed_dim + (0 if kept is None else kept.embed_dim)
        super().__init__(feature_dim=encoder.feature_dim, embed_dim=width)
        self.encoder, self.head, self.kept = encoder, head, kept

    @classmethod
    def build(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Of the heads that the card states; every width is that of the tensors."""
        prefix, n_heads = "encoder.", card["n_heads"]
        if type(n_heads) is not int or n_heads < 1:
            raise ValueError(f"n_heads {n_heads!r}, wanted a whole number above 0")
        inner = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        embed_dim = inner["project_features.bias"].shape[0]
        encoder = GeneInformedEncoder.build({**card, "embed_dim": embed_dim}, inner)
        head = LinearEncoder(torch.zeros(tuple(tensors["head.weight"].shape)))
        kept = tensors.get("kept.weight")
        found = cls(encoder, head, None if kept is None else LinearEncoder(torch.zeros(tuple(kept.shape))))
        if found.embed_dim != card["embed_dim"]:
            raise ValueError(
                f"embed_dim {card['embed_dim']}, and its tensors do not fit it: they give {found.embed_dim}"
            )
        return found

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        """Frozen features, scaled, where they are kept; then embeddings through the map."""
        embedded = self.head(self.encoder(features))
        return embedded if self.kept is None else torch.cat([self.kept(features), embedded], dim=1)

    def sizes(self) -> dict[str, int]:
        """What ``config.json`` must say for ``build``."""
        return {**super().sizes(), "n_heads": self.encoder.n_heads}
