"""AB-MIL: attention-based pooling of a bag's tiles, plain or gated."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.mil.models.gated import gated_scores, hidden_and_scores
from hage_transfer.mil.models.layers import linear
from hage_transfer.mil.models.tiles import OwnTiles, SharedTiles, Tiles
from hage_transfer.mil.models.tilewise import Kept, TilewiseMIL, Weights


class ABMIL(TilewiseMIL):
    """Attention-based multiple-instance classifier.

    The bag is the weighted mean of its tiles, to which a linear classifier is applied::

        z = sum_k a_k h_k                                                   (7)
        plain:  a_k = softmax_k( w^T tanh(V h_k) )                          (8)
        gated:  a_k = softmax_k( w^T ( tanh(V h_k) * sigmoid(U h_k) ) )     (9)

    Widths are those of CLAM's small model, [D, 512, 256]. With ``hidden_dim=0`` the first layer is left out and the
    tiles' features are pooled themselves, h_k = dropout(x_k): far fewer weights, for sets of few slides.
    Deviation: V and U have biases and dropout follows tanh and sigmoid, as in CLAM; the paper's have neither.

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
        n_branches: int = 1,
    ) -> None:
        super().__init__(
            feature_dim, hidden_dim=hidden_dim, dropout=dropout, n_classes=n_classes, n_branches=n_branches
        )
        self.tanh = nn.Linear(self.hidden_dim, attention_dim)
        self.gate = nn.Linear(self.hidden_dim, attention_dim) if gated else None
        self.score = nn.Linear(attention_dim, n_branches, bias=False)
        self.classifier = nn.Linear(self.hidden_dim, n_classes)

    @property
    def dropout_widths(self) -> dict[str, int]:
        """Layers with dropout, and the width of each."""
        if not self.dropout:
            return {}
        width = self.tanh.out_features
        return super().dropout_widths | {"tanh": width} | ({"gate": width} if self.gate is not None else {})

    def scores(self, weights: Weights, tiles: Tiles, kept: Kept) -> Float[Tensor, "fold branch tile"]:
        """What the softmax of Eq. 8 or 9 is taken of."""
        rows, tanh, tanh_bias = tiles.scaled(weights["tanh.weight"], weights["tanh.bias"])
        if self.gate is not None:
            _, gate, gate_bias = tiles.scaled(weights["gate.weight"], weights["gate.bias"])
            both = kept["tanh"] * kept["gate"] if kept else None
            layer = rows, tanh, tanh_bias, gate, gate_bias, weights["score.weight"]
            return gated_scores(*layer, both).transpose(1, 2)
        scored = linear(rows, tanh, tanh_bias).tanh()
        scored = scored * kept["tanh"] if kept else scored
        return torch.bmm(scored, weights["score.weight"].transpose(1, 2)).transpose(1, 2)

    def hidden_and_scores(
        self, weights: Weights, tiles: SharedTiles, kept: Kept
    ) -> tuple[Tiles, Float[Tensor, "fold branch tile"]]:
        """Tiles behind the first layer, and their scores; made together where both layers are there."""
        if self.embed is None or self.gate is None:
            return super().hidden_and_scores(weights, tiles, kept)
        layer = tiles.scaled(weights["embed.weight"], weights["embed.bias"])
        tanh, gate = ((weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in ("tanh", "gate"))
        both = kept["tanh"] * kept["gate"] if kept else None
        hidden, scores = hidden_and_scores(layer, tanh, gate, weights["score.weight"], kept.get("embed"), both)
        return OwnTiles(hidden), scores.transpose(1, 2)

    def classify(
        self, weights: Weights, pooled: Float[Tensor, "fold bag branch hidden"]
    ) -> Float[Tensor, "fold bag class"]:
        """The linear classifier."""
        of_bag = pooled[:, :, 0] @ weights["classifier.weight"].transpose(1, 2)
        return of_bag + weights["classifier.bias"].unsqueeze(1)
