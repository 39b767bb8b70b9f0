"""1.5-entmax: a softmax whose small weights are exactly zero."""

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST = 1e-12


def entmax15(scores: Float[Tensor, "*row choice"]) -> Float[Tensor, "*row choice"]:
    """Weights that sum to 1 over the last axis, zero for choices that lie far enough below the best.

    With the choices sorted, the threshold of the k best is a closed form; the right k is the largest whose threshold
    lies below its k-th choice. Gradients go through that closed form.

    Reference: Peters, Niculae, Martins 2019 (arXiv 1905.05702), Algorithm 2: p = max(s / 2 - tau, 0)^2.

    >>> entmax15(torch.tensor([3.0, 0.0, 0.0])).tolist()
    [1.0, 0.0, 0.0]
    """
    half = (scores - scores.amax(-1, keepdim=True)) / 2
    best = half.sort(dim=-1, descending=True).values
    number = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype, device=scores.device)
    mean, mean_square = best.cumsum(-1) / number, best.square().cumsum(-1) / number
    left = 1 / number - (mean_square - mean.square())
    threshold = mean - left.clamp_min(_LEAST).sqrt()  # at 0 the root has no gradient
    size = (threshold <= best).sum(-1, keepdim=True)
    return (half - threshold.gather(-1, size - 1)).clamp_min(0).square()
