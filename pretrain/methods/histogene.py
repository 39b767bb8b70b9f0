"""HisToGene at feature level: a transformer over all spots of a section, with learned positions."""

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.pretrain.methods.base import Method, Task, Trained
from hage_transfer.pretrain.methods.batches import SpotInputs
from hage_transfer.pretrain.methods.layers import GridEmbedding, Standardise, TransformerBlock
from hage_transfer.pretrain.methods.regression import (
    SECTION_STEPS,
    ExpressionNetwork,
    fit_sections,
)


class HisToGene(ExpressionNetwork):
    """Linear embedding of the features plus embeddings of column and row, transformer, LayerNorm and linear head.

    Args:
        features: of the training spots, to standardise by.
        n_genes: genes of the panel.
        n_positions: entries of the position tables.
        width: of the tokens; the perceptrons have twice that.
        depth: transformer blocks.
        n_heads: heads, of ``width / n_heads`` each.
        dropout: in the blocks and on the tokens.

    Reference: Pang et al. 2021: the linear embedding is of the 112 px patch's pixels there.
    """

    def __init__(
        self,
        features: Float[Tensor, "train feature"],
        *,
        n_genes: int,
        n_positions: int,
        width: int,
        depth: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(Standardise(features), nn.Linear(features.shape[1], width))
        self.positions = GridEmbedding(n_positions, width)
        block = partial(
            TransformerBlock, width, n_heads=n_heads, head_dim=width // n_heads, hidden=2 * width, dropout=dropout
        )
        self.transformer = nn.Sequential(nn.Dropout(dropout), *(block() for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_genes))

    def forward(self, inputs: SpotInputs) -> Float[Tensor, "spot gene"]:
        """Predicted expression of the spots of one section."""
        tokens = self.embed(inputs.features) + self.positions(inputs.grid)
        return self.head(self.transformer(tokens[None])[0])


def fit_histogene(
    task: Task,
    *,
    learning_rate: float = 1e-3,
    width: int = 128,
    depth: int = 4,
    n_heads: int = 8,
    dropout: float = 0.1,
    min_steps: int = SECTION_STEPS,
) -> Trained:
    """Trains and predicts; optimiser (Adam), depth and dropout are published.

    Deviation: narrower tokens, half the heads and a higher rate than published, so that a trial on one CPU core takes
    seconds; the rate is the best of a few by validation PCC on training sections.

    Args:
        task: the trial.
        learning_rate: of Adam (published code: 1e-4).
        width: of the tokens (published: 1024, from 37,632 pixels).
        depth: transformer blocks.
        n_heads: heads (published: 16).
        dropout: in the blocks and on the tokens.
        min_steps: of an epoch, see ``fit_sections``.

    Raises:
        ConfigError: a section has too many spots for attention over all of them.
    """
    network = partial(HisToGene, width=width, depth=depth, n_heads=n_heads, dropout=dropout)
    return fit_sections(task, network, learning_rate=learning_rate, min_steps=min_steps, name="histogene")


METHOD = Method(
    name="histogene",
    title="HisToGene (feature-level head)",
    reference="Pang et al., bioRxiv 2021, doi:10.1101/2021.11.28.470212",
    stochastic=True,
    calibrated=False,
    fit=fit_histogene,
)
