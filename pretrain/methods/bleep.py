"""BLEEP at feature level: two projection heads aligned by CLIP with smoothed targets, the mean of 50 matches."""

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.models.blocks import ProjectionHead
from hage_transfer.models.projection import ProjectionEncoder
from hage_transfer.pretrain.methods.base import Method, Task, Trained
from hage_transfer.pretrain.methods.contrastive import IMAGE_SIDE, TwoTowers, fit_retrieval
from hage_transfer.pretrain.methods.images import image_side


class Bleep(TwoTowers):
    """A projection head on the image features and one on normalised expression.

    Args:
        images: from a spot's features (or pixels) to numbers of one scale.
        feature_dim: how many these are.
        n_genes: genes of the panel.
        embed_dim: of the common space.
        dropout: of the heads.
        temperature: of the loss.

    Reference: Xie et al. 2023. Deviation: the image encoder (ResNet-50, fine-tuned there) is frozen
    here, but for ``bleep_pixels``.
    """

    def __init__(
        self,
        images: nn.Module,
        feature_dim: int,
        *,
        n_genes: int,
        embed_dim: int,
        dropout: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.images = ProjectionEncoder(images, feature_dim, embed_dim=embed_dim, dropout=dropout)
        self.spots = ProjectionHead(n_genes, embed_dim=embed_dim, dropout=dropout)

    def embed_spots(
        self, target: Float[Tensor, "spot gene"], grid: Int[Tensor, "spot 2"]
    ) -> Float[Tensor, "spot embed"]:
        """Embeddings of expression; positions are not used."""
        return self.spots(target)

    def embed_library(
        self, target: Float[Tensor, "spot gene"], grid: Int[Tensor, "spot 2"]
    ) -> Float[Tensor, "spot embed"]:
        """Embeddings of all training spots."""
        return self.spots(target)

    def loss(self, images: Float[Tensor, "spot embed"], spots: Float[Tensor, "spot embed"]) -> Float[Tensor, ""]:
        """``smoothed_clip_loss`` at the head's temperature."""
        return smoothed_clip_loss(images, spots, temperature=self.temperature)


def smoothed_clip_loss(
    images: Float[Tensor, "spot embed"], spots: Float[Tensor, "spot embed"], *, temperature: float
) -> Float[Tensor, ""]:
    """Cross-entropy of cross-modal similarities against the softmax of the two modalities' own, in both directions.

    The embeddings are LayerNormed and not of unit length, and the targets are learned with, both as published.

    Reference: Xie et al. 2023, section 3.2: targets = softmax((images images^T + spots spots^T) / 2 * temperature).
    """
    logits = spots @ images.T / temperature
    targets = ((images @ images.T + spots @ spots.T) / 2 * temperature).softmax(dim=-1)
    by_spot = -(targets * functional.log_softmax(logits, dim=-1)).sum(1)
    by_image = -(targets.T * functional.log_softmax(logits.T, dim=-1)).sum(1)
    return ((by_spot + by_image) / 2).mean()


def fit_bleep(
    task: Task,
    *,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-3,
    embed_dim: int = 256,
    dropout: float = 0.1,
    temperature: float = 1.0,
    k: int = 50,
) -> Trained:
    """Trains and predicts; every default is published (AdamW).

    Args:
        task: the trial.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        embed_dim: of the common space.
        dropout: of the heads.
        temperature: of the loss.
        k: matches whose expression is averaged; all training spots where they are fewer.
    """

    def build() -> Bleep:
        return Bleep(
            *image_side(task),
            n_genes=len(task.data.genes),
            embed_dim=embed_dim,
            dropout=dropout,
            temperature=temperature,
        )

    optimiser = partial(torch.optim.AdamW, lr=learning_rate, weight_decay=weight_decay, fused=True)
    return fit_retrieval(task, build, optimiser, k=k, weighted=False, name="bleep")


METHOD = Method(
    name="bleep",
    title="BLEEP (feature-level head)",
    reference="Xie et al., NeurIPS 2023, arXiv:2306.01859",
    fit=fit_bleep,
    embedding=IMAGE_SIDE,
)
