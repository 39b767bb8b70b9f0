"""AB-MIL: attention-based pooling of a bag's tiles, plain or gated."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hage_transfer.errors import DataError


@dataclass(frozen=True)
class MILOutput:
    """What a bag classifier puts out.

    Attributes:
        logits: before softmax.
        attention: weights a_k; they sum to 1 over the kept tiles and are 0 elsewhere.
    """

    logits: Float[Tensor, "bag class"]
    attention: Float[Tensor, "bag tile"]


class ABMIL(nn.Module):
    """Attention-based multiple-instance classifier.

    Each tile goes through one layer, h_k = dropout(ReLU(W_h x_k + b_h)); the bag is their weighted mean, to which a
    linear classifier is applied::

        z = sum_k a_k h_k                                                   (7)
        plain:  a_k = softmax_k( w^T tanh(V h_k) )                          (8)
        gated:  a_k = softmax_k( w^T ( tanh(V h_k) * sigmoid(U h_k) ) )     (9)

    Widths are those of CLAM's small model, [D, 512, 256]. With ``hidden_dim=0`` the first layer is left out and the
    tiles' features are pooled themselves, h_k = dropout(x_k): far fewer weights, for sets of few slides.
    Deviation: V, U and w have biases and dropout follows tanh and sigmoid, as in CLAM; the paper's have neither.

    Reference: Ilse, Tomczak, Welling, "Attention-based deep multiple instance learning", ICML 2018, Eq. 7 to 9.
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        hidden_dim: int = 512,
        attention_dim: int = 256,
        gated: bool = True,
        dropout: float = 0.25,
        n_classes: int = 2,
    ) -> None:
        super().__init__()
        self.embed: nn.Module = nn.Dropout(dropout)
        if hidden_dim:
            self.embed = nn.Sequential(nn.Linear(feature_dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout))
        hidden_dim = hidden_dim or feature_dim
        self.tanh_branch = nn.Sequential(nn.Linear(hidden_dim, attention_dim), nn.Tanh(), nn.Dropout(dropout))
        self.gate_branch = (
            nn.Sequential(nn.Linear(hidden_dim, attention_dim), nn.Sigmoid(), nn.Dropout(dropout)) if gated else None
        )
        self.score = nn.Linear(attention_dim, 1)
        self.classifier = nn.Linear(hidden_dim, n_classes)

    def forward(self, bag: Float[Tensor, "bag tile feature"], mask: Bool[Tensor, "bag tile"]) -> MILOutput:
        """Classifies bags.

        Args:
            bag: features, padded to the longest bag with any finite numbers.
            mask: True where a tile is real.

        Raises:
            DataError: a bag without a kept tile.
        """
        empty = torch.nonzero(~mask.any(dim=1)).flatten().tolist()
        if empty:
            raise DataError(f"bag {empty[0]} of the batch has no tile: every place of its mask is False")
        hidden = self.embed(bag)
        scored = self.tanh_branch(hidden)
        if self.gate_branch is not None:
            scored = scored * self.gate_branch(hidden)
        scores = self.score(scored).squeeze(-1).masked_fill(~mask, float("-inf"))
        attention = scores.softmax(dim=1)
        pooled = torch.einsum("bt,bth->bh", attention, hidden)
        return MILOutput(self.classifier(pooled), attention)
