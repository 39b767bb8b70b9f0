"""mclSTExp at feature level: spots with positions through a transformer, CLIP, a weighted mean of many matches."""

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hage_transfer.models.blocks import GridEmbedding, ProjectionHead, TransformerBlock
from hage_transfer.models.projection import ProjectionEncoder
from hage_transfer.pretrain.losses import pair_loss
from hage_transfer.pretrain.methods.base import Method, Task, Trained, is_small_panel
from hage_transfer.pretrain.methods.contrastive import IMAGE_SIDE, TwoTowers, fit_retrieval
from hage_transfer.pretrain.methods.images import image_side
from hage_transfer.pretrain.methods.regression import n_positions


class MclSTExp(TwoTowers):
    """Projection head on the image features; expression plus positions through a transformer and a head.

    The transformer's sequence is the batch: random training spots while it learns, runs of ``library_run`` training
    spots in the order of their sections where the library is embedded.

    Args:
        images: from a spot's features (or pixels) to numbers of one scale.
        feature_dim: how many these are.
        n_genes: genes of the panel, the width of the transformer.
        n_positions: entries of the position tables.
        embed_dim: of the common space.
        depth: transformer blocks.
        n_heads: heads.
        head_dim: of each head.
        temperature: of the loss.
        library_run: spots that see each other in the library.

    Reference: Min et al. 2024. Deviation: the image encoder (DenseNet-121, fine-tuned there) is frozen here, but for
    ``mclstexp_pixels``; the position tables hold the positions that occur (of 65,536 there, the same few
    are read).
    """

    def __init__(
        self,
        images: nn.Module,
        feature_dim: int,
        *,
        n_genes: int,
        n_positions: int,
        embed_dim: int,
        depth: int,
        n_heads: int,
        head_dim: int,
        temperature: float,
        library_run: int,
    ) -> None:
        super().__init__()
        self.temperature, self.library_run = temperature, library_run
        self.images = ProjectionEncoder(images, feature_dim, embed_dim=embed_dim)
        self.positions = GridEmbedding(n_positions, n_genes)
        block = partial(TransformerBlock, n_genes, n_heads=n_heads, head_dim=head_dim, hidden=n_genes, dropout=0.0)
        self.transformer = nn.Sequential(*(block() for _ in range(depth)))
        self.spots = ProjectionHead(n_genes, embed_dim=embed_dim, dropout=0.0)

    def embed_spots(
        self, target: Float[Tensor, "spot gene"], grid: Int[Tensor, "spot 2"]
    ) -> Float[Tensor, "spot embed"]:
        """Embeddings of spots that see each other."""
        return self.spots(self.transformer((target + self.positions(grid))[None])[0])

    def embed_library(
        self, target: Float[Tensor, "spot gene"], grid: Int[Tensor, "spot 2"]
    ) -> Float[Tensor, "spot embed"]:
        """Embeddings of all training spots, run by run."""
        runs = zip(target.split(self.library_run), grid.split(self.library_run), strict=True)
        return torch.cat([self.embed_spots(*run) for run in runs])

    def loss(self, images: Float[Tensor, "spot embed"], spots: Float[Tensor, "spot embed"]) -> Float[Tensor, ""]:
        """CLIP on embeddings that are not of unit length, as published."""
        return pair_loss(spots @ images.T / self.temperature)


def n_matches(n_genes: int) -> int:
    """Matches of a query: 200 as published for HER2+ (785 genes), 600 for a small panel as cSCC's (171)."""
    return 600 if is_small_panel(n_genes) else 200


def fit_mclstexp(
    task: Task,
    *,
    learning_rate: float = 1e-4,
    weight_decay: float = 1e-3,
    embed_dim: int = 256,
    depth: int = 2,
    n_heads: int = 8,
    head_dim: int = 64,
    temperature: float = 1.0,
    library_run: int = 32,
    k: int | None = None,
) -> Trained:
    """Trains and predicts; every default is published (Adam).

    Args:
        task: the trial.
        learning_rate: of Adam.
        weight_decay: of Adam.
        embed_dim: of the common space.
        depth: transformer blocks.
        n_heads: heads.
        head_dim: of each head.
        temperature: of the loss.
        library_run: spots that see each other in the library.
        k: matches, weighted by 1 / (L1 distance)^2; None: ``n_matches``. All training spots where they are fewer.
    """

    def build() -> MclSTExp:
        return MclSTExp(
            *image_side(task),
            n_genes=len(task.data.genes),
            n_positions=n_positions(task.data.train, at_least=1),
            embed_dim=embed_dim,
            depth=depth,
            n_heads=n_heads,
            head_dim=head_dim,
            temperature=temperature,
            library_run=library_run,
        )

    optimiser = partial(torch.optim.Adam, lr=learning_rate, weight_decay=weight_decay, fused=True)
    k = k or n_matches(len(task.data.genes))
    return fit_retrieval(task, build, optimiser, k=k, weighted=True, name="mclstexp")


METHOD = Method(
    name="mclstexp",
    title="mclSTExp (feature-level head)",
    reference="Min et al., Brief Bioinform 2024, doi:10.1093/bib/bbae551",
    fit=fit_mclstexp,
    embedding=IMAGE_SIDE,
)
