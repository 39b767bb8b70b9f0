"""Systems that predict all spots of a section at once: HisToGene's transformer, and two with a graph behind it."""

from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.models.section_encoders import GraphAttentionEncoder, HisToGeneEncoder, SageEncoder, SpotInputs
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.pretrain.methods.base import Method, Task, Trained, is_small_panel
from hage_transfer.pretrain.methods.batches import SpotBatch
from hage_transfer.pretrain.methods.regression import ExpressionNetwork, fit_sections
from hage_transfer.pretrain.methods.zinb import zinb_nll

SPOTS = "a spot's token after it has seen its section"


class HisToGene(ExpressionNetwork):
    """A section encoder and a linear head, taught by squared error."""

    def __init__(self, encoder: HisToGeneEncoder, n_genes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head: nn.Module = nn.Linear(encoder.embed_dim, n_genes)

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot gene"]:
        """Predicted expression of the spots of one section."""
        return self.head(self.encoder(*inputs))

    def stored(self) -> StoredEncoder:
        """The section encoder."""
        return self.encoder


class Hist2STStyle(HisToGene):
    """Squared error and the likelihood of the raw counts, whose mean is scaled by the spot's size factor.

    Args:
        encoder: of the section.
        n_genes: genes of the panel.
        zinb: weight of the likelihood (published: 0.25).

    Reference: Zeng et al. 2022.
    """

    def __init__(self, encoder: SageEncoder, n_genes: int, *, zinb: float = 0.25) -> None:
        super().__init__(encoder, n_genes)
        self.zinb = zinb
        self.head = nn.Sequential(nn.LayerNorm(encoder.embed_dim), self.head)
        self.mean, self.dispersion, self.dropout_logits = (nn.Linear(encoder.embed_dim, n_genes) for _ in range(3))

    def losses(self, batch: SpotBatch) -> dict[str, Tensor]:
        """Squared error and weighted ZINB of the scored spots."""
        spots, counts = self.encoder(*batch.inputs)[batch.places], batch.counts[batch.places]
        nll = zinb_nll(
            counts,
            mean=self.mean(spots).exp().clamp(1e-5, 1e6) * size_factors(counts),
            dispersion=functional.softplus(self.dispersion(spots)).clamp(1e-4, 1e4),
            dropout_logits=self.dropout_logits(spots),
        )
        error = self.head(spots) - batch.target[batch.places]
        return {"mse": error.square().mean(), "zinb": self.zinb * nll.mean()}


def size_factors(counts: Float[Tensor, "spot gene"]) -> Float[Tensor, "spot 1"]:
    """Each spot's total over the median total of these (training) spots; at least 1e-3, so that a logarithm exists."""
    totals = counts.sum(1, keepdim=True)
    return (totals / totals.median().clamp_min(1)).clamp_min(1e-3)


class THItoGeneStyle(HisToGene):
    """A perceptron as head."""

    def __init__(self, encoder: GraphAttentionEncoder, n_genes: int) -> None:
        super().__init__(encoder, n_genes)
        hidden = 2 * encoder.embed_dim
        self.head = nn.Sequential(
            nn.Linear(encoder.embed_dim, hidden), nn.ReLU(), nn.LayerNorm(hidden), nn.Linear(hidden, n_genes)
        )


def fit_thitogene_style(task: Task, *, depth: int | None = None, learning_rate: float = 2e-3, **given: Any) -> Trained:
    """As ``fit_sections``; ``depth`` None: the published 4 blocks, and 8 for a small panel as cSCC's."""
    depth = depth or (8 if is_small_panel(len(task.data.genes)) else 4)
    return fit_sections(
        task,
        encoder=GraphAttentionEncoder,
        head=THItoGeneStyle,
        name="thitogene_graph",
        learning_rate=learning_rate,
        depth=depth,
        **given,
    )


METHODS = (
    Method(
        name="histogene",
        title="HisToGene (feature-level head)",
        reference="Pang et al., bioRxiv 2021, doi:10.1101/2021.11.28.470212",
        fit=partial(fit_sections, encoder=HisToGeneEncoder, head=HisToGene, name="histogene", learning_rate=1e-3),
        embedding=SPOTS,
    ),
    Method(
        name="hist2st_graph",
        title="Hist2ST-style graph head (feature-level)",
        reference="after Zeng et al. 2022, doi:10.1093/bib/bbac297, without its ConvMixer and self-distillation",
        fit=partial(fit_sections, encoder=SageEncoder, head=Hist2STStyle, name="hist2st_graph", learning_rate=4e-3),
        embedding=SPOTS,
    ),
    Method(
        name="thitogene_graph",
        title="THItoGene-style graph head (feature-level)",
        reference="after Jia et al. 2024, doi:10.1093/bib/bbad464, without its dynamic convolution and capsules",
        fit=fit_thitogene_style,
        embedding=SPOTS,
    ),
)
