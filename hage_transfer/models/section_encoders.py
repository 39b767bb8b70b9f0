"""Encoders of spots that see their section: a transformer over all of them, alone or with a graph of neighbours."""

from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.models.blocks import GraphAttention, GraphSage, GridEmbedding, TransformerBlock


class SpotInputs(NamedTuple):
    """What a prediction may depend on: no counts, no target."""

    features: Tensor
    grid: Int[Tensor, "spot 2"]
    neighbours: Int[Tensor, "spot neighbour"]


class HisToGeneEncoder(nn.Module):
    """Linear embedding of the features plus embeddings of column and row, transformer, LayerNorm.

    Args:
        images: from a spot's features (or pixels) to numbers of one scale.
        feature_dim: how many these are.
        n_positions: entries of the position tables.
        width: of the tokens (published: 1024).
        depth: transformer blocks.
        n_heads: heads, of ``width / n_heads`` each (published: 16).
        dropout: in the blocks and on the tokens.
        hidden: of the perceptrons; None: twice ``width``.
        beside: width of each position embedding where they stand beside the features; 0: they are added.

    Attributes:
        embed_dim: width of the embeddings.

    Reference: Pang et al. 2021: the linear embedding is of the 112 px patch's pixels there.
    """

    def __init__(
        self,
        images: nn.Module,
        feature_dim: int,
        *,
        n_positions: int,
        width: int = 128,
        depth: int = 4,
        n_heads: int = 8,
        dropout: float = 0.1,
        hidden: int | None = None,
        beside: int = 0,
    ) -> None:
        super().__init__()
        self.beside, self.embed_dim = beside, width + 2 * beside
        self.embed = nn.Sequential(images, nn.Linear(feature_dim, width))
        self.positions = GridEmbedding(n_positions, beside or width)
        sizes: dict[str, Any] = {
            "n_heads": n_heads,
            "head_dim": width // n_heads,
            "hidden": hidden or 2 * width,
            "dropout": dropout,
        }
        block = partial(TransformerBlock, self.embed_dim, **sizes)
        self.transformer = nn.Sequential(nn.Dropout(dropout), *(block() for _ in range(depth)))
        self.norm: nn.Module = nn.LayerNorm(self.embed_dim)

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot embed"]:
        """Embeddings of the spots of one section."""
        tokens, (x, y) = self.embed(inputs.features), self.positions.parts(inputs.grid)
        tokens = torch.cat([tokens, x, y], dim=1) if self.beside else tokens + x + y
        return self.norm(self.transformer(tokens[None])[0])


class SageEncoder(HisToGeneEncoder):
    """The transformer, then GraphSAGE layers over the 4 nearest spots and an LSTM over their outputs.

    Args:
        images: as there.
        feature_dim: as there.
        width: of the tokens, the perceptrons and the LSTM (published: 1024).
        depth: transformer blocks.
        dropout: in the blocks and on the features.
        graph_depth: GraphSAGE layers.
        sizes: the others of ``HisToGeneEncoder``.

    Reference: Hist2ST (Zeng et al. 2022). Deviation: its ConvMixer on pixels and its self-distillation over augmented
    patches, which make it what it is, are left out: hence "Hist2ST-style".
    """

    def __init__(
        self,
        images: nn.Module,
        feature_dim: int,
        *,
        width: int = 128,
        depth: int = 8,
        dropout: float = 0.2,
        graph_depth: int = 4,
        **sizes: Any,
    ) -> None:
        super().__init__(images, feature_dim, width=width, depth=depth, dropout=dropout, hidden=width, **sizes)
        self.embed.insert(1, nn.Dropout(dropout))
        self.transformer[0], self.norm = nn.Identity(), nn.Identity()
        self.graph = nn.ModuleList(GraphSage(width) for _ in range(graph_depth))
        self.jump = nn.LSTM(width, width, num_layers=2)

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot embed"]:
        """Embeddings of the spots of one section."""
        spots, steps = super().forward(inputs), []
        for layer in self.graph:
            spots = layer(spots, inputs.neighbours)
            steps.append(spots)
        return self.jump(torch.stack(steps))[0].mean(0)


class GraphAttentionEncoder(HisToGeneEncoder):
    """Positions beside the features, the transformer, then two graph attention layers over the 4 nearest spots.

    Args:
        images: as there.
        feature_dim: as there.
        width: of the embedded features (published: 1280, 20 capsules of 64).
        dropout: everywhere.
        beside: width of each position embedding (published: 64).
        graph_heads: heads of the first graph attention layer.
        graph_width: of each of those heads (published: 1024); the second layer has one head of half that.
        sizes: the others of ``HisToGeneEncoder``.

    Reference: THItoGene (Jia et al. 2024). Deviation: its dynamic convolution and capsules on pixels, which make it
    what it is, are left out: hence "THItoGene-style".
    """

    def __init__(
        self,
        images: nn.Module,
        feature_dim: int,
        *,
        dropout: float = 0.2,
        beside: int = 16,
        graph_heads: int = 8,
        graph_width: int = 64,
        **sizes: Any,
    ) -> None:
        super().__init__(images, feature_dim, dropout=dropout, beside=beside, **sizes)
        self.norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.graph = GraphAttention(self.embed_dim, graph_width, n_heads=graph_heads, dropout=dropout)
        self.graph_out = GraphAttention(graph_width * graph_heads, graph_width // 2, n_heads=1, dropout=dropout)
        self.embed_dim = graph_width // 2

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot embed"]:
        """Embeddings of the spots of one section."""
        spots = super().forward(inputs)
        spots = functional.elu(self.graph(self.dropout(spots), inputs.neighbours))
        return functional.elu(self.graph_out(self.dropout(spots), inputs.neighbours))
