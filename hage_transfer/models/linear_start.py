"""What a trained predictor may begin at: a ridge's prediction of each gene, to which the network adds."""

from collections.abc import Mapping
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.models.linear import LinearEncoder


class LinearStart(nn.Module):
    """y = (x - mean) V (U + W g) + b + gate * f(z), begun at a ridge: gate and W are 0, V U its weights.

    Deviation: ours; the paper's predictor begins at random weights. Training starts at the ridge's score and the
    network f may only add to it. With a rank the factors V (feature, rank) and U (rank, gene), and W, from a gene's
    vector to the rank, train too; without one the ridge stays as it was fitted.

    Args:
        ridge: the fitted map from frozen features to expression.
        rank: of its two factors; None: one matrix, kept as it is.
        gene_vectors: that condition the genes' factor; rank and vectors go together.
    """

    down: Float[Tensor, "feature rank"]
    up: Float[Tensor, "rank gene"]
    by_gene: Float[Tensor, "gene_dim rank"]
    gene_vectors: Float[Tensor, "gene gene_dim"]
    weight: Float[Tensor, "feature gene"]
    mean: Float[Tensor, " feature"]
    bias: Float[Tensor, " gene"]

    def __init__(
        self,
        ridge: LinearEncoder,
        *,
        rank: int | None = None,
        gene_vectors: Float[Tensor, "gene gene_dim"] | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", ridge.mean)
        self.register_buffer("bias", ridge.bias)
        self.gate = nn.Parameter(torch.zeros(ridge.embed_dim))
        self.is_low_rank = rank is not None
        if (rank is None) != (gene_vectors is None):
            raise ValueError("a rank and the gene vectors that condition its factor go together")
        if rank is None or gene_vectors is None:
            self.register_buffer("weight", ridge.weight)
            return
        left, values, right = torch.linalg.svd(ridge.weight.double(), full_matrices=False)
        root = values[:rank].sqrt()
        self.down = nn.Parameter((left[:, :rank] * root).float())
        self.up = nn.Parameter((root[:, None] * right[:rank]).float())
        self.by_gene = nn.Parameter(torch.zeros(gene_vectors.shape[1], rank))
        self.register_buffer("gene_vectors", gene_vectors - gene_vectors.mean(0))

    def forward(
        self, features: Float[Tensor, "batch feature"], added: Float[Tensor, "batch gene"]
    ) -> Float[Tensor, "batch gene"]:
        """Predicted expression: the linear part, and the network's share ``added`` through each gene's gate."""
        centred = features - self.mean
        if self.is_low_rank:
            linear = (centred @ self.down) @ (self.up + (self.gene_vectors @ self.by_gene).T)
        else:
            linear = centred @ self.weight
        return linear + self.bias + self.gate * added

    @classmethod
    def build(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Of the sizes of stored tensors.

        Raises:
            KeyError: a tensor is missing.
        """
        mean, bias = tensors["mean"], tensors["bias"]
        ridge = LinearEncoder(torch.zeros(len(mean), len(bias)), mean=mean, bias=bias)
        if "down" not in tensors:
            return cls(ridge)
        return cls(ridge, rank=tensors["down"].shape[-1], gene_vectors=tensors["gene_vectors"])
