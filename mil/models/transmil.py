"""TransMIL, from torchmil (Apache-2.0), which the extra `torchmil` installs."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.models.output import MILOutput
from hage_transfer.mil.models.tilewise import refuse_empty

MOST_EXPLAINED_TILES = 4096


class TransMIL(nn.Module):
    """Two Nyström attention layers over all tiles of a bag with a convolution over their order between them.

    torchmil's network takes no mask and has one logit. Here each bag goes through it alone, without its padding, and
    its last layer has a logit for every class. Unlike the other classifiers it sees the order of the tiles (the
    convolution lays them out in a square), and its first layer is ``Linear, ReLU`` as in the paper.

    Reference: Shao et al., "TransMIL: Transformer based correlated multiple instance learning for whole slide image
    classification", NeurIPS 2021.
    """

    def __init__(
        self, feature_dim: int, *, hidden_dim: int = 512, dropout: float = 0.25, n_classes: int = 2, n_heads: int = 4
    ) -> None:
        super().__init__()
        try:
            from torchmil.models import TransMIL as Network  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise ConfigError(
                "model.kind transmil: torchmil is not installed; pip install 'hage-transfer[torchmil]', or choose "
                "another kind"
            ) from None
        if not hidden_dim or hidden_dim % n_heads:
            raise ConfigError(f"model.hidden_dim = {hidden_dim}: TransMIL wants a multiple of its {n_heads} heads")
        first = nn.Sequential(nn.Linear(feature_dim, hidden_dim), nn.ReLU())
        self.network = Network((feature_dim,), att_dim=hidden_dim, n_heads=n_heads, dropout=dropout, feat_ext=first)
        self.network.classifier = nn.Linear(hidden_dim, n_classes)

    def logits(self, tiles: Float[Tensor, "tile feature"]) -> Float[Tensor, " class"]:
        """Logits of one bag of any size."""
        return self.network(tiles[None])[0]

    def forward(self, bag: Float[Tensor, "bag tile feature"], mask: Bool[Tensor, "bag tile"]) -> MILOutput:
        """Classifies bags and explains them: the class token's attention to the tiles, mean over heads.

        The attention of a Nyström layer can be negative; negative weights are shown as 0, the rest sum to 1.

        Raises:
            DataError: a bag without a kept tile, or too large for its attention to be written out.
        """
        refuse_empty(mask)
        logits, attention = [], torch.zeros_like(mask, dtype=bag.dtype)
        for number, (tiles, kept) in enumerate(zip(bag, mask, strict=True)):
            n_tiles = int(kept.sum())
            if n_tiles > MOST_EXPLAINED_TILES:
                raise DataError(
                    f"a bag of {n_tiles} tiles: TransMIL's attention is written out up to {MOST_EXPLAINED_TILES}, "
                    "as it grows with their square; explain slides with kind abmil or clam_sb"
                )
            of_bag, weights = self.network(tiles[kept][None], return_att=True)
            logits.append(of_bag[0])
            weights = weights[0].clamp(min=0)
            attention[number, kept] = weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
        return MILOutput(torch.stack(logits), attention)
