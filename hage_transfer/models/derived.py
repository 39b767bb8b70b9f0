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
        """Of the sizes that the card states, with the genes of the tensors."""
        prefix = "encoder."
        sizes: dict[str, Any] = {name: card.get(name) for name in ("n_heads", "inner_dim", "kept_dim")}
        wrong = [f"{name} {size!r}" for name, size in sizes.items() if type(size) is not int or size < 0]
        if wrong or not sizes["n_heads"]:
            raise ValueError(f"{', '.join(wrong) or 'n_heads 0'}, wanted whole numbers, n_heads above 0")
        inner = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        encoder = GeneInformedEncoder.build({**card, "embed_dim": sizes["inner_dim"]}, inner)
        kept = LinearEncoder(torch.zeros(card["feature_dim"], sizes["kept_dim"])) if sizes["kept_dim"] else None
        return cls(encoder, LinearEncoder(torch.zeros(sizes["inner_dim"], card["embed_dim"] - sizes["kept_dim"])), kept)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        """Frozen features, scaled, where they are kept; then embeddings through the map."""
        embedded = self.head(self.encoder(features))
        return embedded if self.kept is None else torch.cat([self.kept(features), embedded], dim=1)

    def sizes(self) -> dict[str, int]:
        """What ``config.json`` must say for ``build``."""
        kept_dim = 0 if self.kept is None else self.kept.embed_dim
        inner = {"n_heads": self.encoder.n_heads, "inner_dim": self.encoder.embed_dim, "kept_dim": kept_dim}
        return {**super().sizes(), **inner}
