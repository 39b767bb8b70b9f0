"""THItoGene at feature level: transformer over a section's spots, then graph attention over neighbours."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.pretrain.methods.base import Method, Task, Trained
from hage_transfer.pretrain.methods.batches import SpotInputs
from hage_transfer.pretrain.methods.layers import GraphAttention, GridEmbedding, Standardise, TransformerBlock
from hage_transfer.pretrain.methods.regression import (
    SECTION_STEPS,
    ExpressionNetwork,
    fit_sections,
)


class THItoGene(ExpressionNetwork):
    """Features beside embeddings of column and row, transformer, two graph attention layers, perceptron head.

    Args:
        features: of the training spots, to standardise by.
        n_genes: genes of the panel.
        n_positions: entries of the position tables.
        width: of the embedded features.
        position_width: of each position embedding; tokens are ``width + 2 position_width`` wide.
        depth: transformer blocks.
        n_heads: heads of the transformer.
        graph_heads: heads of the first graph attention layer.
        graph_width: of each of those heads; the second layer has one head of half that, the perceptron this width.
        dropout: everywhere.

    Reference: Jia et al. 2024: positions are concatenated, not added; the graph is the 4 nearest spots.
    Deviation: dynamic convolution and capsules make the 20 x 64 patch features there and act on pixels; a linear
    embedding of the frozen features takes their place.
    """

    def __init__(
        self,
        features: Float[Tensor, "train feature"],
        *,
        n_genes: int,
        n_positions: int,
        width: int,
        position_width: int,
        depth: int,
        n_heads: int,
        graph_heads: int,
        graph_width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        tokens = width + 2 * position_width
        self.embed = nn.Sequential(Standardise(features), nn.Linear(features.shape[1], width))
        self.positions = GridEmbedding(n_positions, position_width)
        block = partial(
            TransformerBlock, tokens, n_heads=n_heads, head_dim=width // n_heads, hidden=2 * width, dropout=dropout
        )
        self.transformer = nn.Sequential(nn.Dropout(dropout), *(block() for _ in range(depth)))
        self.dropout = nn.Dropout(dropout)
        self.graph = GraphAttention(tokens, graph_width, n_heads=graph_heads, dropout=dropout)
        self.graph_out = GraphAttention(graph_width * graph_heads, graph_width // 2, n_heads=1, dropout=dropout)
        self.head = nn.Sequential(
            nn.Linear(graph_width // 2, graph_width),
            nn.ReLU(),
            nn.LayerNorm(graph_width),
            nn.Linear(graph_width, n_genes),
        )

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot gene"]:
        """Predicted expression of the spots of one section."""
        tokens = torch.cat([self.embed(inputs.features), *self.positions.parts(inputs.grid)], dim=1)
        spots = self.transformer(tokens[None])[0]
        spots = functional.elu(self.graph(self.dropout(spots), inputs.neighbours))
        spots = functional.elu(self.graph_out(self.dropout(spots), inputs.neighbours))
        return self.head(spots)


def fit_thitogene(
    task: Task,
    *,
    learning_rate: float = 2e-3,
    width: int = 128,
    position_width: int = 16,
    depth: int = 4,
    n_heads: int = 8,
    graph_heads: int = 8,
    graph_width: int = 64,
    dropout: float = 0.2,
    min_steps: int = SECTION_STEPS,
) -> Trained:
    """Trains and predicts; Adam, depth, graph heads and dropout are published.

    Deviation: narrower tokens, half the heads and a higher rate than published, so that a trial on one CPU core takes
    seconds; the rate is the best of a few by validation PCC on training sections.

    Args:
        task: the trial.
        learning_rate: of Adam (published: 1e-5 over 300 epochs).
        width: of the embedded features (published: 1280, 20 capsules of 64).
        position_width: of each position embedding (published: 64).
        depth: transformer blocks.
        n_heads: heads of the transformer (published: 16).
        graph_heads: heads of the first graph attention layer.
        graph_width: of each of those heads (published: 1024).
        dropout: everywhere.
        min_steps: of an epoch, see ``fit_sections``.

    Raises:
        ConfigError: a section has too many spots for attention over all of them.
    """
    network = partial(
        THItoGene,
        width=width,
        position_width=position_width,
        depth=depth,
        n_heads=n_heads,
        graph_heads=graph_heads,
        graph_width=graph_width,
        dropout=dropout,
    )
    return fit_sections(task, network, learning_rate=learning_rate, min_steps=min_steps, name="thitogene")


METHOD = Method(
    name="thitogene",
    title="THItoGene (feature-level head)",
    reference="Jia et al., Brief Bioinform 2024, doi:10.1093/bib/bbad464",
    stochastic=True,
    calibrated=False,
    fit=fit_thitogene,
)
