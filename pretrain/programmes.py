"""Programmes of genes: what co-varies over the training spots, as shares of each gene."""

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.decomposition import NMF
from torch import Tensor

from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.dataset import Spots

_MOST_SPOTS = 20_000
_ROUNDS = 400


def programmes(train: Spots, rows: Int[np.ndarray, " row"], *, n: int) -> Float[Tensor, "programme gene"]:
    """Components of a non-negative factorisation of normalised expression, each row scaled to sum 1.

    Args:
        train: of a fold.
        rows: training spots; evenly spaced ones of more than 20,000.
        n: programmes.

    Raises:
        ConfigError: more programmes than spots or genes.

    References:
        Lee and Seung, Nature 1999.
    """
    chosen = rows[:: len(rows) // _MOST_SPOTS + 1]
    expression = np.asarray(train.target[chosen], dtype=np.float64)
    if n > min(expression.shape):
        raise ConfigError(
            f"model.programmes {n}: {len(chosen)} spots of {expression.shape[1]} genes have fewer; lower it"
        )
    shifted = expression - np.minimum(expression.min(0), 0.0)
    parts = NMF(n, init="nndsvda", max_iter=_ROUNDS, tol=1e-3, random_state=0).fit(shifted).components_
    parts = parts + np.finfo(np.float32).tiny
    return torch.from_numpy((parts / parts.sum(1, keepdims=True)).astype(np.float32))
