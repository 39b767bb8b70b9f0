"""Encoders of spots that see their section: a transformer over all of them, alone or with a graph of neighbours."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.data.feature_file import Features
from hage_transfer.data.spot_grid import grid_positions, nearest_spots
from hage_transfer.models.blocks import GraphAttention, GraphSage, GridEmbedding, Standardise, TransformerBlock
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.running.devices import to_device

N_NEIGHBOURS = 4


class SpotInputs(NamedTuple):
    """What a prediction may depend on: no counts, no target."""

    features: Tensor
    grid: Int[Tensor, "spot 2"]
    neighbours: Int[Tensor, "spot neighbour"]


class HisToGeneEncoder(StoredEncoder):
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

    Reference: Pang et al. 2021: the linear embedding is of the 112 px patch's pixels there.
    """

    form: ClassVar[str] = "histogene"
    _sizes: ClassVar[tuple[str, ...]] = ("n_positions", "width", "depth", "n_heads", "hidden", "beside")

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
        super().__init__(feature_dim=feature_dim, embed_dim=width + 2 * beside)
        self.n_positions, self.width, self.depth, self.n_heads = n_positions, width, depth, n_heads
        self.hidden, self.beside = hidden or 2 * width, beside
        self.embed_features = nn.Sequential(images, nn.Linear(feature_dim, width))
        self.positions = GridEmbedding(n_positions, beside or width)
        block = partial(
            TransformerBlock,
            self.embed_dim,
            n_heads=n_heads,
            head_dim=width // n_heads,
            hidden=self.hidden,
            dropout=dropout,
        )
        self.transformer = nn.Sequential(nn.Dropout(dropout), *(block() for _ in range(depth)))
        self.norm: nn.Module = nn.LayerNorm(self.embed_dim)

    @classmethod
    def build(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Of the sizes that the card states."""
        sizes = {name: card[name] for name in cls._sizes}
        if max(sizes["depth"], sizes.get("graph_depth", 0)) > len(tensors):
            raise ValueError(f"it says {sizes} and has {len(tensors)} tensors")
        found = cls(Standardise.of_width(card["feature_dim"]), card["feature_dim"], **sizes)
        if found.embed_dim != card["embed_dim"]:
            raise ValueError(f"{sizes} do not fit embed_dim {card['embed_dim']}")
        return found

    def sizes(self) -> dict[str, int]:
        """What ``config.json`` must say for ``build``."""
        return super().sizes() | {name: getattr(self, name) for name in self._sizes}

    def forward(
        self,
        features: Tensor,
        grid: Int[Tensor, "spot 2"] | None = None,
        neighbours: Int[Tensor, "spot neighbour"] | None = None,
        added: Tensor | None = None,
    ) -> Float[Tensor, "spot embed"]:
        """Embeddings of the spots of one section; without places, of patches that are each a section of its own.

        ``added`` (spot, embed), or one for all, goes onto the tokens before the spots see each other.
        """
        alone = grid is None or neighbours is None
        if grid is None or neighbours is None:
            grid = torch.zeros((len(features), 2), dtype=torch.int64, device=features.device)
            neighbours = torch.arange(len(features), device=features.device)[:, None]
        tokens, (x, y) = self.embed_features(features), self.positions.parts(grid)
        tokens = torch.cat([tokens, x, y], dim=1) if self.beside else tokens + x + y
        tokens = tokens if added is None else tokens + added
        spots = self.transformer(tokens[:, None] if alone else tokens[None]).flatten(0, 1)
        return self.over_graph(self.norm(spots), neighbours)

    def over_graph(
        self, spots: Float[Tensor, "spot token"], neighbours: Int[Tensor, "spot neighbour"]
    ) -> Float[Tensor, "spot embed"]:
        """What follows the transformer: nothing here."""
        return spots

    @torch.inference_mode()
    def embed(self, features: Features) -> Float32[np.ndarray, "row embed"]:
        """Embeddings of the rows of each image, which see each other.

        An image of more tiles a side than the position tables have is taken in windows of that many, so that no
        position lies past them and memory is bounded. Patches without coordinates are each alone.
        """
        if features.coords is None:
            return super().embed(features)
        rows = np.empty((len(features), self.embed_dim), dtype=np.float32)
        for part, grid in _windows(features, features.coords.astype(np.float64), side=self.n_positions):
            neighbours = nearest_spots(features.coords[part].astype(np.float64), k=N_NEIGHBOURS)
            given = (features.features[part].astype(np.float32), grid, neighbours)
            device = self.positions.x.weight.device
            rows[part] = self(*(to_device(torch.from_numpy(one), device) for one in given)).cpu().numpy()
        return rows


def _windows(
    features: Features, coords: Float[np.ndarray, "row 2"], *, side: int
) -> Iterator[tuple[Int[np.ndarray, " part"], Int[np.ndarray, "part 2"]]]:
    """Rows of each window of each image (a tile's key is ``<image>#<x>_<y>``) with their places in it."""
    keys = [] if features.keys is None else [str(key).partition("#")[0] for key in features.keys if "#" in str(key)]
    images = np.array(keys if len(keys) == len(coords) else [""] * len(coords))
    for image in np.unique(images):
        rows = np.flatnonzero(images == image)
        grid = grid_positions(coords[rows])
        for window in np.unique(grid // side, axis=0):
            inside = (grid // side == window).all(axis=1)
            yield rows[inside], grid[inside] - side * window


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

    form: ClassVar[str] = "hist2st_graph"
    _sizes: ClassVar[tuple[str, ...]] = ("n_positions", "width", "depth", "n_heads", "graph_depth")

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
        self.graph_depth = graph_depth
        self.embed_features.insert(1, nn.Dropout(dropout))
        self.transformer[0], self.norm = nn.Identity(), nn.Identity()
        self.graph = nn.ModuleList(GraphSage(width) for _ in range(graph_depth))
        self.jump = nn.LSTM(width, width, num_layers=2)

    def over_graph(
        self, spots: Float[Tensor, "spot token"], neighbours: Int[Tensor, "spot neighbour"]
    ) -> Float[Tensor, "spot embed"]:
        """Layers over the graph, the LSTM over them."""
        steps = []
        for layer in self.graph:
            spots = layer(spots, neighbours)
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

    form: ClassVar[str] = "thitogene_graph"
    _sizes: ClassVar[tuple[str, ...]] = (*HisToGeneEncoder._sizes, "graph_heads", "graph_width")

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
        self.graph_heads, self.graph_width = graph_heads, graph_width
        self.norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.graph = GraphAttention(self.embed_dim, graph_width, n_heads=graph_heads, dropout=dropout)
        self.graph_out = GraphAttention(graph_width * graph_heads, graph_width // 2, n_heads=1, dropout=dropout)
        self.embed_dim = graph_width // 2

    def over_graph(
        self, spots: Float[Tensor, "spot token"], neighbours: Int[Tensor, "spot neighbour"]
    ) -> Float[Tensor, "spot embed"]:
        """The two layers over the graph."""
        spots = functional.elu(self.graph(self.dropout(spots), neighbours))
        return functional.elu(self.graph_out(self.dropout(spots), neighbours))
