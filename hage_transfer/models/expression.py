"""The expression side of HAGE: encoder and predictor, two three-layer perceptrons."""

from torch import nn


def expression_encoder(n_genes: int, *, embed_dim: int) -> nn.Sequential:
    """EE: normalised expression (batch, gene) to embeddings (batch, embed); HAGE section 2.1. Hidden widths ours: d."""
    return _three_layers(n_genes, embed_dim, embed_dim)


def expression_predictor(embed_dim: int, *, n_genes: int) -> nn.Sequential:
    """Gene-informed embeddings (batch, embed) to predicted expression (batch, gene); HAGE section 2.1."""
    return _three_layers(embed_dim, embed_dim, n_genes)


def _three_layers(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, width_out)
    )
