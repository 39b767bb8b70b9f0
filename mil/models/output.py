"""What every bag classifier puts out."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class MILOutput:
    """What a bag classifier puts out.

    Attributes:
        logits: before softmax.
        attention: weights a_k of the tiles, 0 where the mask is False; they sum to 1 over the others. A classifier with
            an attention for every class gives that of the class it predicts.
        of_classes: the attention of every class; None where there is one for all.
    """

    logits: Float[Tensor, "bag class"]
    attention: Float[Tensor, "bag tile"]
    of_classes: Float[Tensor, "bag class tile"] | None = None
