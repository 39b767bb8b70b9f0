"""Mean and standard deviation of every head's training rows, from one pass over the features."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hage_transfer.data.feature_scale import feature_scale
from hage_transfer.errors import SplitError
from hage_transfer.probes.rows import LabelledFeatures

CHUNK_ROWS = 512  # in float64 these stay in the processor's cache


@dataclass(frozen=True)
class Moments:
    """Per head, of the rows that it trains on.

    Attributes:
        shift: one reference row for all heads, taken from every row before any product; it keeps sums small and
            changes no result.
        mean: of the training rows, from ``shift``.
        scale: their standard deviation; infinite for a constant feature, see ``feature_scale``.
    """

    shift: Float[Tensor, " feature"]
    mean: Float[Tensor, "head feature"]
    scale: Float[Tensor, "head feature"]


def training_moments(
    features: LabelledFeatures, training: Bool[np.ndarray, "head row"], *, standardise: bool = True
) -> Moments:
    """One pass over the rows, sums in float64.

    Args:
        features: of all rows.
        training: True where a head trains on a row.
        standardise: False gives mean 0 and scale 1 of the raw features.

    Raises:
        SplitError: a head without training rows.
        DataError: NaN or infinity among the features.
    """
    if not training.any(axis=1).all():
        raise SplitError(f"fold {int(np.flatnonzero(~training.any(axis=1))[0])} has no row to train on")
    first = features.take(np.arange(min(CHUNK_ROWS, features.n_rows)))
    shift = first.double().mean(dim=0)
    shift[~torch.isfinite(shift)] = 0.0  # the pass below names the row
    n_heads, n_features = len(training), features.n_features
    total = torch.zeros(n_heads, n_features, dtype=torch.float64)
    squares = torch.zeros_like(total)
    masks = torch.from_numpy(training)
    for place, chunk in features.chunks(size=CHUNK_ROWS):
        mask = masks[:, place].double()
        centred = chunk.double().sub_(shift)
        if not bool(torch.isfinite(centred.sum())):
            features.refuse_not_finite(place)
        total += mask @ centred
        if standardise:
            squares += mask @ centred.square_()
    if not standardise:
        return Moments(shift.float(), (-shift).float().repeat(n_heads, 1), torch.ones(n_heads, n_features))
    counts = torch.from_numpy(training.sum(axis=1, keepdims=True)).double()
    mean = total / counts
    scale = feature_scale(squares / counts - mean**2, mean, mean + shift)
    return Moments(shift.float(), mean.float(), scale.float())
