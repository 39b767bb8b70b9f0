"""The expression side of HAGE: encoder and predictor, and a predictor in which a gene's identity matters."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

PredictorKind = Literal["mlp", "gene_conditioned"]


def expression_encoder(n_genes: int, *, embed_dim: int) -> nn.Sequential:
    """EE: normalised expression (batch, gene) to embeddings (batch, embed); HAGE section 2.1. Hidden widths ours: d."""
    return _three_layers(n_genes, embed_dim, embed_dim)


def expression_predictor(embed_dim: int, *, n_genes: int) -> nn.Sequential:
    """Gene-informed embeddings (batch, embed) to predicted expression (batch, gene); HAGE section 2.1."""
    return _three_layers(embed_dim, embed_dim, n_genes)


def build_predictor(
    kind: PredictorKind, *, embed_dim: int, n_genes: int, gene_vectors: Float[Tensor, "gene gene_dim"] | None = None
) -> nn.Module:
    """The predictor of a kind: embeddings (batch, embed) to expression (batch, gene).

    Args:
        kind: ``mlp`` (the paper's) or ``gene_conditioned`` (ours).
        embed_dim: width d of the embeddings.
        n_genes: genes of the panel.
        gene_vectors: their embeddings, which ``gene_conditioned`` needs and ``mlp`` does not read.

    Raises:
        ValueError: unknown kind, or ``gene_conditioned`` without one vector for each gene.
    """
    if kind == "mlp":
        return expression_predictor(embed_dim, n_genes=n_genes)
    if kind != "gene_conditioned":
        raise ValueError(f"unknown predictor {kind!r}; valid: mlp, gene_conditioned")
    if gene_vectors is None or len(gene_vectors) != n_genes:
        met = "none" if gene_vectors is None else len(gene_vectors)
        raise ValueError(f"a gene-conditioned predictor needs one embedding for each of {n_genes} genes, met {met}")
    return GeneConditionedPredictor(gene_vectors, embed_dim=embed_dim)


class GeneConditionedPredictor(nn.Module):
    """y_j = <h(z), W g_j> / sqrt(d) + b_j, with h a three-layer perceptron and b_j = <w, g_j> + c.

    Deviation: ours, not the paper's, whose predictor has one free output row for each gene, so that nothing ties gene
    j's embedding to output j. Here output j is made from g_j alone: the same weights predict genes that were never
    trained on, and exchanging embeddings exchanges outputs.

    Gene embeddings are centred by the panel's mean and divided by one number, the root mean square of the centred
    table, both kept as buffers and applied to any other gene as well. One number, and not one for each column, keeps
    the angles between genes as they were trained. Centring takes away the direction that all genes share (skip-gram
    tables have a strong one), in which they cannot differ. The product is divided by sqrt(d) as in attention.

    Args:
        gene_vectors: one row for each panel gene.
        embed_dim: width d of the embeddings, of h's layers and of W g.
    """

    gene_vectors: Float[Tensor, "gene gene_dim"]
    gene_mean: Float[Tensor, " gene_dim"]
    gene_scale: Float[Tensor, ""]

    def __init__(self, gene_vectors: Float[Tensor, "gene gene_dim"], *, embed_dim: int) -> None:
        super().__init__()
        mean = gene_vectors.mean(0)
        scale = (gene_vectors - mean).square().mean().sqrt()
        identical = bool((gene_vectors == gene_vectors[0]).all())
        self.register_buffer("gene_vectors", gene_vectors.clone())
        self.register_buffer("gene_mean", gene_vectors[0].clone() if identical else mean)
        self.register_buffer("gene_scale", torch.ones_like(scale) if identical else scale)
        self.hidden = _three_layers(embed_dim, embed_dim, embed_dim)
        self.project_genes = nn.Linear(gene_vectors.shape[1], embed_dim)
        self.gene_bias = nn.Linear(gene_vectors.shape[1], 1)

    def forward(self, embeddings: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch gene"]:
        """Predicted expression of the panel's genes."""
        return self.for_genes(embeddings, self.gene_vectors)

    def for_genes(
        self, embeddings: Float[Tensor, "batch embed"], gene_vectors: Float[Tensor, "other gene_dim"]
    ) -> Float[Tensor, "batch other"]:
        """Predicted expression of any genes that have an embedding in the panel's space."""
        genes = (gene_vectors - self.gene_mean) / self.gene_scale
        products = self.hidden(embeddings) @ self.project_genes(genes).T
        return products / embeddings.shape[1] ** 0.5 + self.gene_bias(genes).T


def _three_layers(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, width_out)
    )
