"""Section heads after TRIPLEX, DeepSpot and STPath: views of several scales, sets of neighbours, masked prediction.

Each keeps the idea of its paper at feature level and none of its image networks, so none carries its name.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.models.section_encoders import HisToGeneEncoder, SpotInputs
from hage_transfer.pretrain.methods.base import Method
from hage_transfer.pretrain.methods.batches import SpotBatch
from hage_transfer.pretrain.methods.regression import fit_sections
from hage_transfer.pretrain.methods.section_heads import SPOTS, HisToGene


class TriplexStyle(HisToGene):
    """A spot's own features, its neighbours' and the whole section, fused by attention of the first to the others.

    Each view predicts by itself too, towards the target and towards the fused prediction.

    Args:
        encoder: the view of the whole section.
        n_genes: genes of the panel.
        towards_fused: weight of the second of these.

    Reference: Chung et al. 2024: L = MSE(fused, y) + sum over views of (1 - a) MSE(view, y) + a MSE(view, fused).
    """

    def __init__(self, encoder: HisToGeneEncoder, n_genes: int, *, towards_fused: float = 0.3) -> None:
        super().__init__(encoder, n_genes)
        width = encoder.embed_dim
        self.towards_fused, self.images = towards_fused, encoder.embed_features[0]
        self.own, self.near = (nn.Linear(encoder.feature_dim, width) for _ in range(2))
        self.fuse = nn.MultiheadAttention(width, encoder.n_heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.views = nn.ModuleList(nn.Linear(width, n_genes) for _ in range(3))

    def tokens(self, inputs: SpotInputs) -> tuple[Tensor, Tensor, Tensor]:
        """(spot, 1, width) of the spot itself and of its section, (spot, neighbour, width) of its neighbours."""
        scaled = self.images(inputs.features)
        return self.own(scaled)[:, None], self.near(scaled)[inputs.neighbours], self.encoder(*inputs)[:, None]

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot gene"]:
        """The fused prediction."""
        return self._fused(*self.tokens(inputs))

    def _fused(self, own: Tensor, near: Tensor, whole: Tensor) -> Float[Tensor, "spot gene"]:
        others = torch.cat([near, whole], dim=1)
        return self.head(self.norm(own + self.fuse(own, others, others, need_weights=False)[0])[:, 0])

    def losses(self, batch: SpotBatch) -> dict[str, Tensor]:
        """Squared errors over the scored spots: fused, and of the views by themselves."""
        parts = self.tokens(batch.inputs)
        scored, target = batch.places, batch.target[batch.places]
        fused, share = self._fused(*parts)[scored], self.towards_fused
        views = [view(part.mean(1))[scored] for view, part in zip(self.views, parts, strict=True)]
        alone = [
            (1 - share) * functional.mse_loss(view, target) + share * functional.mse_loss(view, fused) for view in views
        ]
        return {"mse": functional.mse_loss(fused, target), "views": torch.stack(alone).sum()}


class DeepSpotStyle(HisToGene):
    """A spot's features beside the set of its neighbours', each through a network of its own, then a third.

    Args:
        encoder: of the section.
        n_genes: genes of the panel.

    Reference: Nonchev et al. 2025: a spot, the set of its parts and the set of its neighbours, pooled. Deviation: no
    parts of a spot; its token in the section besides, which is what the exported encoder gives.
    """

    def __init__(self, encoder: HisToGeneEncoder, n_genes: int) -> None:
        super().__init__(encoder, n_genes)
        width = encoder.embed_dim
        self.images = encoder.embed_features[0]
        self.own, self.near = (nn.Sequential(nn.Linear(encoder.feature_dim, width), nn.ReLU()) for _ in range(2))
        self.head = nn.Sequential(nn.Linear(4 * width, width), nn.ReLU(), nn.Linear(width, n_genes))

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot gene"]:
        """Of the spot, the mean and the most of its neighbours, and its token."""
        scaled = self.images(inputs.features)
        near = self.near(scaled)[inputs.neighbours]
        return self.head(torch.cat([self.own(scaled), near.mean(1), near.amax(1), self.encoder(*inputs)], dim=1))


class STPathStyle(HisToGene):
    """Tokens of a section's spots that carry expression where it is shown; what is hidden is predicted.

    While training, a random share of the training spots is hidden and scored, and the others' expression is shown;
    spots to be predicted (validation, test) are always hidden. A hidden spot's token is that of its image alone.

    Args:
        encoder: of the section.
        n_genes: genes of the panel.

    Reference: Huang et al. 2025, masked expression prediction, here on one section's panel and without its pretraining.
    """

    def __init__(self, encoder: HisToGeneEncoder, n_genes: int) -> None:
        super().__init__(encoder, n_genes)
        self.shown = nn.Linear(n_genes, encoder.embed_dim)

    def losses(self, batch: SpotBatch) -> dict[str, Tensor]:
        """Squared error of the scored spots that were hidden."""
        hidden = self._drawn(batch.scored)
        added = torch.where(hidden[:, None], 0.0, self.shown(batch.target))
        asked = (hidden & batch.scored).nonzero().flatten()
        return {"mse": functional.mse_loss(self.head(self.encoder(*batch.inputs, added))[asked], batch.target[asked])}

    @staticmethod
    def _drawn(scored: Bool[Tensor, " spot"]) -> Bool[Tensor, " spot"]:
        """Spots to hide: half of the training spots to all of them, one at least, and all that do not train."""
        share = 0.5 + 0.5 * torch.rand(())
        hidden = ~scored | (torch.rand(len(scored)) < share).to(scored.device)
        return hidden | (torch.arange(len(scored), device=scored.device) == scored.byte().argmax())


def _method(name: str, head: type[HisToGene], title: str, reference: str) -> Method:
    fit = partial(fit_sections, encoder=HisToGeneEncoder, head=head, name=name, learning_rate=1e-3)
    return Method(name=name, title=title, reference=f"after {reference}", fit=fit, embedding=SPOTS)


METHODS = (
    _method(
        "triplex_style",
        TriplexStyle,
        "TRIPLEX-style multi-scale head (feature-level)",
        "Chung et al., CVPR 2024, arXiv:2403.07592, without its image networks",
    ),
    _method(
        "deepspot_style",
        DeepSpotStyle,
        "DeepSpot-style neighbour-set head (feature-level)",
        "Nonchev et al. 2025, doi:10.1101/2025.02.09.25321567, without its sub-tiles",
    ),
    _method(
        "stpath_style",
        STPathStyle,
        "STPath-style masked-expression head (feature-level)",
        "Huang et al., bioRxiv 2025 (STPath), without its pretraining",
    ),
)
