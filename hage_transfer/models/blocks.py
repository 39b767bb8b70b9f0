"""Blocks that several compared systems are made of."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class Standardise(nn.Module):
    """Features to zero mean and unit variance; a constant feature becomes zero.

    Args:
        features: of the training spots alone.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, features: Float[Tensor, "spot feature"]) -> None:
        super().__init__()
        spread = features.std(0, correction=0)
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("factor", torch.where(spread > 0, 1 / spread, 0))

    def forward(self, features: Float[Tensor, "*spot feature"]) -> Float[Tensor, "*spot feature"]:
        """Standardised features."""
        return (features - self.mean) * self.factor

    @classmethod
    def of_width(cls, width: int) -> "Standardise":
        """One whose statistics are to be loaded."""
        return cls(torch.zeros(1, width))


class GridEmbedding(nn.Module):
    """Sum of a learned embedding of the column and one of the row; positions past the table take its last entry."""

    def __init__(self, n_positions: int, width: int) -> None:
        super().__init__()
        self.x, self.y = nn.Embedding(n_positions, width), nn.Embedding(n_positions, width)

    def forward(self, grid: Int[Tensor, "*spot 2"]) -> Float[Tensor, "*spot width"]:
        """Embedding of each position."""
        x, y = self.parts(grid)
        return x + y

    def parts(self, grid: Int[Tensor, "*spot 2"]) -> tuple[Float[Tensor, "*spot width"], Float[Tensor, "*spot width"]]:
        """Embedding of the column and of the row."""
        grid = grid.clamp_max(self.x.num_embeddings - 1)
        return self.x(grid[..., 0]), self.y(grid[..., 1])


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and perceptron, each with a residual; without a mask, so memory is linear in spots.

    Args:
        width: of the tokens.
        n_heads: heads.
        head_dim: of each head; the heads need not add up to ``width``.
        hidden: of the perceptron.
        dropout: after the attention's output and inside the perceptron.
    """

    def __init__(self, width: int, *, n_heads: int, head_dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * n_heads * head_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(n_heads * head_dim, width), nn.Dropout(dropout))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Float[Tensor, "batch spot width"]) -> Float[Tensor, "batch spot width"]:
        """Tokens that have seen each other."""
        q, k, v = self.to_qkv(self.norm(tokens)).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.to_out(seen)
        return tokens + self.perceptron(tokens)


class GraphSage(nn.Module):
    """Mean over a spot's neighbours, linear, ReLU, unit length (Hamilton et al. 2017, as Hist2ST takes it)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.linear.weight)

    def forward(
        self, spots: Float[Tensor, "spot width"], neighbours: Int[Tensor, "spot neighbour"]
    ) -> Float[Tensor, "spot width"]:
        """Each spot from its neighbours; -1 is no neighbour."""
        there = (neighbours >= 0).unsqueeze(-1)
        mean = (spots[neighbours.clamp_min(0)] * there).sum(1) / there.sum(1)
        return functional.normalize(functional.relu(self.linear(mean)), dim=1)


class GraphAttention(nn.Module):
    """One multi-head graph attention layer (Velickovic et al. 2018) over the neighbours of each spot.

    Each head starts as it would alone: Xavier's bounds are of one head's weights, however many there are.

    Args:
        width_in: of the spots.
        width_out: of each head.
        n_heads: heads, whose outputs are concatenated.
        dropout: of the attention weights.
        slope: of the leaky ReLU.
    """

    def __init__(self, width_in: int, width_out: int, *, n_heads: int, dropout: float, slope: float = 0.01) -> None:
        super().__init__()
        self.n_heads, self.slope = n_heads, slope
        self.linear = nn.Linear(width_in, n_heads * width_out, bias=False)
        self.pair = nn.Parameter(torch.empty(n_heads, 2 * width_out))
        self.dropout = nn.Dropout(dropout)
        each_head = self.linear.weight.detach().view(n_heads, width_out, width_in)
        for weight in (*each_head, *self.pair.detach().unsqueeze(1)):
            nn.init.xavier_uniform_(weight, gain=2**0.5)

    def weights(
        self, heads: Float[Tensor, "spot head width"], neighbours: Int[Tensor, "spot neighbour"]
    ) -> Float[Tensor, "spot neighbour head"]:
        """Attention to each neighbour; rows sum to 1 over neighbours, and 0 goes to -1."""
        centre, neighbour = ((heads * part).sum(-1) for part in self.pair.chunk(2, dim=1))
        score = centre[:, None] + neighbour[neighbours.clamp_min(0)]
        score = functional.leaky_relu(score, self.slope)
        return score.masked_fill((neighbours < 0).unsqueeze(-1), -torch.inf).softmax(dim=1)

    def forward(
        self, spots: Float[Tensor, "spot width"], neighbours: Int[Tensor, "spot neighbour"]
    ) -> Float[Tensor, "spot headxwidth"]:
        """Weighted sum over the neighbours, heads side by side."""
        heads = self.linear(spots).unflatten(-1, (self.n_heads, -1))
        weights = self.dropout(self.weights(heads, neighbours))
        return torch.einsum("skh,skhw->shw", weights, heads[neighbours.clamp_min(0)]).flatten(1)


class ProjectionHead(nn.Module):
    """Linear, GELU, linear, dropout, residual to the first, LayerNorm (BLEEP and mclSTExp, both modalities)."""

    def __init__(self, width_in: int, *, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Linear(width_in, embed_dim)
        self.refine = nn.Sequential(nn.GELU(), nn.Linear(embed_dim, embed_dim), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, rows: Float[Tensor, "*spot width"]) -> Float[Tensor, "*spot embed"]:
        """Embeddings, LayerNormed and not of unit length."""
        projected = self.projection(rows)
        return self.norm(projected + self.refine(projected))
