"""The gene-informed encoder (GE): frozen features in, embeddings that have seen genes out."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.models.gene_attention import AttentionKind, GeneAttention
from hage_transfer.models.stored_encoder import StoredEncoder


class GeneInformedEncoder(StoredEncoder):
    """z = MLP2(Attn(Wx x; Wg g) + Wx x), HAGE section 2.2.

    Deviation: features are standardised first with ``feature_mean`` and ``feature_std`` (identity until set), since
    frozen encoders differ in scale by orders of magnitude and the paper's learning rate assumes UNI's. The statistics
    are fitted on training spots and stored with the weights.

    Args:
        gene_embeddings: one row per panel gene; None leaves the attention out (Table 2, rows I and II).
        feature_dim: width of the frozen features.
        embed_dim: width d of the embeddings (paper: 1024).
        n_heads: attention heads (not given in the paper; ours: 8).
        feature_dropout: share of features dropped while training (ours; 0 as in the paper).
        attention: ``kind`` of ``GeneAttention`` (the paper: ``scaled``).

    >>> genes = torch.randn(5, 200, generator=torch.Generator().manual_seed(0))
    >>> encoder = GeneInformedEncoder(genes, feature_dim=352, embed_dim=64)
    >>> encoder(torch.zeros(2, 352)).shape, encoder.gene_attention(torch.zeros(2, 352)).shape
    (torch.Size([2, 64]), torch.Size([2, 8, 5]))
    """

    form: ClassVar[str] = "hage"
    gene_embeddings: Float[Tensor, "gene gene_dim"] | None
    feature_mean: Float[Tensor, " feature"]
    feature_std: Float[Tensor, " feature"]

    def __init__(
        self,
        gene_embeddings: Float[Tensor, "gene gene_dim"] | None,
        *,
        feature_dim: int,
        embed_dim: int = 1024,
        n_heads: int = 8,
        feature_dropout: float = 0.0,
        attention: AttentionKind = "scaled",
    ) -> None:
        super().__init__(feature_dim=feature_dim, embed_dim=embed_dim)
        self.n_heads = n_heads
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_std", torch.ones(feature_dim))
        self.register_buffer("gene_embeddings", gene_embeddings)
        self.dropout = nn.Dropout(feature_dropout)
        self.project_features = nn.Linear(feature_dim, embed_dim)
        if gene_embeddings is not None:
            self.attention = GeneAttention(
                embed_dim, gene_dim=gene_embeddings.shape[1], n_heads=n_heads, kind=attention
            )
        self.refine = nn.Sequential(nn.Linear(embed_dim, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        """Gene-informed embeddings, not normalised."""
        patches = self._project(features)
        if self.gene_embeddings is not None:
            patches = patches + self.attention(patches, self.gene_embeddings)
        return self.refine(patches)

    @torch.no_grad()
    def gene_attention(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch head gene"]:
        """Which genes each patch attends to; rows sum to 1 over the panel's genes.

        Raises:
            ValueError: the encoder was trained without genes.
        """
        if self.gene_embeddings is None:
            raise ValueError("this encoder was trained without gene embeddings and attends to no genes")
        return self.attention.weights(self._project(features), self.gene_embeddings)

    def set_feature_scale(self, mean: Float[Tensor, " feature"], std: Float[Tensor, " feature"]) -> None:
        """Sets the statistics that features are standardised with; a constant feature (std 0) is only centred."""
        self.feature_mean.copy_(mean)
        self.feature_std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    @classmethod
    def build(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Of the sizes that the card states, with the genes of the tensors (none: without attention)."""
        genes = tensors.get("gene_embeddings")
        if genes is not None and (genes.ndim != 2 or not genes.is_floating_point()):
            raise ValueError(f"gene_embeddings of shape {tuple(genes.shape)} {genes.dtype}, wanted (genes, numbers)")
        sizes = {name: card[name] for name in ("feature_dim", "embed_dim", "n_heads")}
        kind: AttentionKind = "cosine" if "attention.log_scale" in tensors else "scaled"
        return cls(genes, **sizes, attention="sparse" if "attention.is_sparse" in tensors else kind)

    def sizes(self) -> dict[str, int]:
        """What ``config.json`` must say for ``build``."""
        return {**super().sizes(), "n_heads": self.n_heads}

    def _project(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        return self.project_features(self.dropout((features - self.feature_mean) / self.feature_std))
