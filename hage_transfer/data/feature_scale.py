"""By what features are divided when they are standardised."""

import torch
from jaxtyping import Float
from torch import Tensor

_CONSTANT = 1e-6


def feature_scale(
    variance: Float[Tensor, "*fold feature"],
    centred_mean: Float[Tensor, "*fold feature"],
    mean: Float[Tensor, "*fold feature"],
) -> Float[Tensor, "*fold feature"]:
    """Standard deviation of each feature; infinite where it is constant but for rounding.

    A classifier cannot learn from a feature that is constant where it trains. Divided by infinity it is 0 wherever it
    is tested, and so is its slope, which rounding would otherwise turn into steps of Adam.

    Args:
        variance: from sums of rows less a reference row; below 0 by rounding at most.
        centred_mean: mean of the rows less the reference row.
        mean: of the rows themselves.
    """
    scale = variance.clamp(min=0.0).sqrt()
    scale[scale <= _CONSTANT * (centred_mean.abs() + mean.abs())] = torch.inf
    return scale
