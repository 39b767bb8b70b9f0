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
        programmes: attend to programmes of genes in place of genes: each row the share of every gene in a programme,
            summing to 1, whose token is its genes' mean (ours; None as in the paper).
        regions: parts that the features are made of side by side (a patch and its surround: 2), each of which asks
            the genes by itself; what they gather is averaged (ours; 1 as in the paper).

    >>> genes = torch.randn(5, 200, generator=torch.Generator().manual_seed(0))
    >>> encoder = GeneInformedEncoder(genes, feature_dim=352, embed_dim=64)
    >>> encoder(torch.zeros(2, 352)).shape, encoder.gene_attention(torch.zeros(2, 352)).shape
    (torch.Size([2, 64]), torch.Size([2, 8, 5]))
    """

    form: ClassVar[str] = "hage"
    gene_embeddings: Float[Tensor, "gene gene_dim"] | None
    programmes: Float[Tensor, "programme gene"] | None
    n_regions: Tensor | None
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
        programmes: Float[Tensor, "programme gene"] | None = None,
        regions: int = 1,
    ) -> None:
        super().__init__(feature_dim=feature_dim, embed_dim=embed_dim)
        if regions < 1 or feature_dim % regions:
            raise ValueError(f"{feature_dim} features are not {regions} regions of one width")
        self.n_heads, self.regions = n_heads, regions
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_std", torch.ones(feature_dim))
        self.register_buffer("gene_embeddings", gene_embeddings)
        self.register_buffer("programmes", programmes)
        self.register_buffer("n_regions", torch.tensor([regions]) if regions > 1 else None)
        self.dropout = nn.Dropout(feature_dropout)
        self.project_features = nn.Linear(feature_dim, embed_dim)
        if gene_embeddings is not None:
            self.attention = GeneAttention(
                embed_dim, gene_dim=gene_embeddings.shape[1], n_heads=n_heads, kind=attention
            )
        self.refine = nn.Sequential(nn.Linear(embed_dim, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        """Gene-informed embeddings, not normalised."""
        scaled = self._scaled(features)
        patches = self.project_features(scaled)
        return self.refine(patches if self.gene_embeddings is None else patches + self._gathered(scaled, patches))

    @torch.no_grad()
    def with_genes(
        self, features: Float[Tensor, "batch feature"]
    ) -> tuple[Float[Tensor, "batch embed"], Float[Tensor, "batch embed"]]:
        """Projected features and what the attention adds to them; errors as ``token_attention``."""
        scaled = self._scaled(features)
        patches = self.project_features(scaled)
        return patches, self._gathered(scaled, patches)

    @torch.no_grad()
    def token_attention(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch head token"]:
        """How much each patch attends to each token, a gene or a programme; rows sum to 1, means over regions.

        Raises:
            ValueError: the encoder was trained without genes.
        """
        tokens, scaled = self.tokens, self._scaled(features)
        asking = self._asking(scaled, self.project_features(scaled))
        return self._over_regions(self.attention.weights(asking, tokens))

    def gene_attention(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch head gene"]:
        """Which genes each patch attends to, by their share in programmes where it attends to these.

        Rows sum to 1 over the panel's genes; errors as ``token_attention``.
        """
        weights = self.token_attention(features)
        return weights if self.programmes is None else weights @ self.programmes

    @property
    def tokens(self) -> Float[Tensor, "token gene_dim"]:
        """What the patches attend to; errors as ``token_attention``."""
        if self.gene_embeddings is None:
            raise ValueError("this encoder was trained without gene embeddings and attends to no genes")
        return self.gene_embeddings if self.programmes is None else self.programmes @ self.gene_embeddings

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
        programmes = tensors.get("programmes")
        if programmes is not None and (genes is None or programmes.ndim != 2 or programmes.shape[1] != len(genes)):
            raise ValueError(f"programmes of shape {tuple(programmes.shape)}, wanted (programmes, genes)")
        regions = int(tensors["n_regions"]) if "n_regions" in tensors else 1
        sizes = {name: card[name] for name in ("feature_dim", "embed_dim", "n_heads")}
        kind: AttentionKind = "cosine" if "attention.log_scale" in tensors else "scaled"
        kind = "sparse" if "attention.is_sparse" in tensors else kind
        return cls(genes, **sizes, attention=kind, programmes=programmes, regions=regions)

    def sizes(self) -> dict[str, int]:
        """What ``config.json`` must say for ``build``."""
        return {**super().sizes(), "n_heads": self.n_heads}

    def _scaled(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        return self.dropout((features - self.feature_mean) / self.feature_std)

    def _gathered(
        self, scaled: Float[Tensor, "batch feature"], patches: Float[Tensor, "batch embed"]
    ) -> Float[Tensor, "batch embed"]:
        """What the attention adds to projected patches, averaged over the regions that asked."""
        tokens = self.tokens
        return self._over_regions(self.attention(self._asking(scaled, patches), tokens))

    def _over_regions(self, rows: Float[Tensor, "row ..."]) -> Float[Tensor, "batch ..."]:
        return rows if self.regions == 1 else rows.reshape(-1, self.regions, *rows.shape[1:]).mean(1)

    def _asking(
        self, scaled: Float[Tensor, "batch feature"], patches: Float[Tensor, "batch embed"]
    ) -> Float[Tensor, "row embed"]:
        """What asks the genes: the patch, or each region's part of its projection, row by row."""
        if self.regions == 1:
            return patches
        weights = self.project_features.weight.reshape(self.embed_dim, self.regions, -1)
        parts = torch.einsum("brf,erf->bre", scaled.reshape(len(scaled), self.regions, -1), weights)
        return (parts + self.project_features.bias / self.regions).flatten(0, 1)
