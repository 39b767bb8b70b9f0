"""Mean and std of features over the tiles of each fold's training bags, from one pass over the bags."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hage_transfer.data.feature_scale import feature_scale
from hage_transfer.mil.bags import BagSet
from hage_transfer.mil.stream import stream

_ROWS = 4096


def fold_moments(
    bags: BagSet, training: Bool[np.ndarray, "fold bag"]
) -> tuple[Float[Tensor, "fold feature"], Float[Tensor, "fold feature"]]:
    """Mean and std of each feature in each fold's training tiles; std infinite where a feature is constant.

    Sums are taken in float64 of rows less a reference row, as a mean far from zero would swallow the std.

    Raises:
        DataError: a bag that cannot be read, or that holds NaN.
    """
    wanted = np.flatnonzero(training.any(axis=0)).tolist()
    shift = torch.from_numpy(bags.load(wanted[0])[0]).double()
    n_folds, n_features = len(training), bags.feature_dim
    total, squares = torch.zeros(2, n_folds, n_features, dtype=torch.float64)
    counts = torch.from_numpy((training * bags.n_tiles).sum(axis=1)).double().unsqueeze(1)
    for bag, rows, _ in stream(bags, wanted, device="cpu"):
        of_bag, squares_of_bag = torch.zeros(2, n_features, dtype=torch.float64)
        for part in rows.split(_ROWS):
            centred = part.double().sub_(shift)
            of_bag += centred.sum(dim=0)
            squares_of_bag += centred.square_().sum(dim=0)
        mask = torch.from_numpy(training[:, bag])
        total[mask] += of_bag
        squares[mask] += squares_of_bag
    mean = total / counts
    std = feature_scale(squares / counts - mean**2, mean, mean + shift)
    return (mean + shift).float(), std.float()
