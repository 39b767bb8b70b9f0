"""Cross-attention from patches to genes, with the genes shared by the whole batch."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.models.entmax import entmax15

AttentionKind = Literal["scaled", "cosine", "sparse"]
SPREAD = 1.5
"""Standard deviation over genes of the logits that a cosine attention begins with."""


class GeneAttention(nn.Module):
    """Multi-head attention in which patches ask and genes answer (Vaswani et al. 2017; HAGE section 2.2).

    Every patch of a batch attends to the same genes, so keys and values belong to the batch, not to the patch, and the
    batch is one sequence of queries: the same output as attending patch by patch to expanded genes, at a fraction of
    the work. Both projections of a gene (W_g, then keys or values) are linear, so their matrices are multiplied first:
    that costs gene_dim columns instead of one row for every gene.

    Args:
        embed_dim: width d of queries, keys, values and output.
        gene_dim: width of a gene embedding (Gene2Vec: 200).
        n_heads: heads; divides ``embed_dim``.
        kind: ``scaled``: as published; ``cosine``: queries and keys of unit length times a temperature that each head
            learns, in place of 1/sqrt(head_dim); ``sparse``: that, and 1.5-entmax for softmax, so that most genes get
            nothing. Deviation: ours. At the usual initial weights products of rows are some hundredths, so the softmax
            over hundreds of genes is even, and an even softmax has hardly a gradient that could change it; here the
            cosines, which spread by 1/sqrt(head_dim), begin at ``SPREAD`` of logits.
    """

    is_sparse: Tensor | None

    def __init__(self, embed_dim: int, *, gene_dim: int, n_heads: int, kind: AttentionKind = "scaled") -> None:
        super().__init__()
        if embed_dim % n_heads:
            raise ValueError(f"embed_dim {embed_dim} is not a multiple of n_heads {n_heads}")
        self.n_heads = n_heads
        self.project_genes = nn.Linear(gene_dim, embed_dim)
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.output = nn.Linear(embed_dim, embed_dim)
        self.log_scale: nn.Parameter | None = None
        self.register_buffer("is_sparse", torch.ones(1, dtype=torch.bool) if kind == "sparse" else None)
        if kind != "scaled":
            self.log_scale = nn.Parameter(torch.full((n_heads, 1, 1), math.log(SPREAD * (embed_dim // n_heads) ** 0.5)))

    def forward(
        self, patches: Float[Tensor, "batch embed"], genes: Float[Tensor, "gene gene_dim"]
    ) -> Float[Tensor, "batch embed"]:
        """What each patch gathers from the genes; invariant to the order of the genes."""
        query, key = self._asked(patches, genes)
        value = self._heads(self._from_genes(self.value, genes))
        if self.is_sparse is None:
            gathered = functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]
        else:
            gathered = self._shares(query, key) @ value
        return self.output(gathered.transpose(0, 1).flatten(1))

    def weights(
        self, patches: Float[Tensor, "batch embed"], genes: Float[Tensor, "gene gene_dim"]
    ) -> Float[Tensor, "batch head gene"]:
        """The attention itself: how much each patch looks at each gene; rows sum to 1 over genes."""
        query, key = self._asked(patches, genes)
        return self._shares(query, key).transpose(0, 1)

    def _shares(
        self, query: Float[Tensor, "head batch head_dim"], key: Float[Tensor, "head gene head_dim"]
    ) -> Float[Tensor, "head batch gene"]:
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        return torch.softmax(scores, dim=-1) if self.is_sparse is None else entmax15(scores)

    def _asked(
        self, patches: Float[Tensor, "batch embed"], genes: Float[Tensor, "gene gene_dim"]
    ) -> tuple[Float[Tensor, "head batch head_dim"], Float[Tensor, "head gene head_dim"]]:
        """Queries and keys whose products over sqrt(head_dim) are the logits."""
        query, key = self._heads(self.query(patches)), self._heads(self._from_genes(self.key, genes))
        if self.log_scale is None:
            return query, key
        scale = self.log_scale.exp() * query.shape[-1] ** 0.5
        return scale * functional.normalize(query, dim=-1), functional.normalize(key, dim=-1)

    def _from_genes(self, layer: nn.Linear, genes: Float[Tensor, "gene gene_dim"]) -> Float[Tensor, "gene embed"]:
        """``layer(project_genes(genes))``, with the two matrices multiplied before the genes come in."""
        return functional.linear(genes, layer.weight @ self.project_genes.weight, layer(self.project_genes.bias))

    def _heads(self, rows: Float[Tensor, "row embed"]) -> Float[Tensor, "head row head_dim"]:
        return rows.unflatten(1, (self.n_heads, -1)).transpose(0, 1)
