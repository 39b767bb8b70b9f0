"""Centroids over the whole training split: a memory bank of every spot's last embeddings."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class CentroidBank(nn.Module):
    """The last image and expression embedding of every training spot, with their sums by cluster.

    A batch of 128 holds about two spots of each of 60 clusters, so a centroid over the batch (HAGE section 2.3 does not
    say over what) is a noisy one. Here the batch's own rows take part with gradient and all others as they were when
    last seen; spots that were not seen yet are left out. A step costs the batch and the clusters, not the spots.

    Nothing of it goes into a state dict: a trained model does not need it.

    Args:
        clusters: of each training spot.
        embed_dim: width d of the embeddings; the bank holds 2 d numbers a spot.
    """

    clusters: Int[Tensor, " spot"]
    seen: Bool[Tensor, " spot"]
    rows: Float[Tensor, "spot side_embed"]
    sums: Float[Tensor, "cluster side_embed"]
    counts: Float[Tensor, " cluster"]

    def __init__(self, clusters: Int[Tensor, " spot"], *, embed_dim: int) -> None:
        super().__init__()
        n_clusters = int(clusters.max()) + 1
        self.embed_dim = embed_dim
        for name, value in {
            "clusters": clusters,
            "seen": torch.zeros(len(clusters), dtype=torch.bool),
            "rows": torch.zeros(len(clusters), 2 * embed_dim),
            "sums": torch.zeros(n_clusters, 2 * embed_dim),
            "counts": torch.zeros(n_clusters),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(
        self,
        spots: Int[Tensor, " batch"],
        image: Float[Tensor, "batch embed"],
        expression: Float[Tensor, "batch embed"],
    ) -> tuple[Float[Tensor, "some embed"], Float[Tensor, "some embed"]]:
        """Image and expression centroids of every cluster that has a spot in the batch or among those seen.

        Args:
            spots: positions of the batch's spots in the training split, each once.
            image: their embeddings; gradients flow to them alone.
            expression: likewise.
        """
        clusters = self.clusters[spots]
        live = torch.cat([image, expression], dim=1)
        sums = self.sums.index_add(0, clusters, live - self.rows[spots])
        counts = self.counts.index_add(0, clusters, (~self.seen[spots]).to(self.counts.dtype))
        there = (counts > 0).nonzero().flatten()
        means = sums[there] / counts[there, None]
        return means[:, : self.embed_dim], means[:, self.embed_dim :]

    @torch.no_grad()
    def store(
        self,
        spots: Int[Tensor, " batch"],
        image: Float[Tensor, "batch embed"],
        expression: Float[Tensor, "batch embed"],
    ) -> None:
        """Keeps a batch's embeddings as these spots' last ones."""
        clusters, rows = self.clusters[spots], torch.cat([image, expression], dim=1)
        self.sums.index_add_(0, clusters, rows - self.rows[spots])
        self.counts.index_add_(0, clusters, (~self.seen[spots]).to(self.counts.dtype))
        self.rows[spots] = rows
        self.seen[spots] = True

    @torch.no_grad()
    def add_up(self) -> None:
        """Takes the sums anew from the rows, once an epoch, so that rounding does not gather in them."""
        self.sums.zero_().index_add_(0, self.clusters, self.rows)
