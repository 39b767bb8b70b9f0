"""Cross-check: k nearest neighbours by cosine of standardised features, streamed in blocks."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hage_transfer.probes.directions import FoldScale, as_array, blocks, directions, training_scales
from hage_transfer.probes.rows import LabelledFeatures

QUERY_ROWS, TRAINING_ROWS = 4096, 4096


def neighbour_probabilities(
    features: LabelledFeatures | Float[np.ndarray, "row feature"],
    labels: Int[np.ndarray, " row"],
    training: Bool[np.ndarray, "fold row"],
    wanted: Bool[np.ndarray, "fold row"],
    *,
    n_classes: int,
    k: int = 20,
    device: str = "cpu",
) -> Float[np.ndarray, "fold row class"]:
    """Share of each class among the k training rows nearest in direction (see ``probes.directions``).

    Directions have length one, so the order of Euclidean distances is that of cosines. With fewer than k training
    rows, all of them are neighbours. Rows that are not wanted are NaN. Every wanted row is compared with every
    training row: the work grows with the square of the set.
    """
    rows = LabelledFeatures.of(features)
    scales = training_scales(rows, training, device=device)
    classes = torch.from_numpy(labels).to(device)
    found = np.full((len(training), rows.n_rows, n_classes), np.nan, dtype=np.float32)
    for fold, scale in enumerate(scales):
        own = blocks(np.flatnonzero(training[fold]), TRAINING_ROWS)
        for block in blocks(np.flatnonzero(wanted[fold]), QUERY_ROWS):
            nearest = _nearest(rows, directions(rows, block, scale), own, scale, k=k)
            votes = functional.one_hot(classes[nearest], n_classes).float().mean(dim=1)
            found[fold, block] = as_array(votes)
    return found


def _nearest(
    features: LabelledFeatures,
    queries: Float[Tensor, "query feature"],
    training: list[Int[np.ndarray, " block"]],
    scale: FoldScale,
    *,
    k: int,
) -> Int[Tensor, "query k"]:
    """Rows of the k nearest training rows of each query, kept up as the blocks go by."""
    cosines = torch.empty(len(queries), 0, device=scale.mean.device)
    places = torch.empty(len(queries), 0, dtype=torch.int64, device=scale.mean.device)
    for block in training:
        near, which = _top(queries @ directions(features, block, scale).T, k)
        cosines = torch.cat([cosines, near], dim=1)
        places = torch.cat([places, torch.from_numpy(block).to(scale.mean.device)[which]], dim=1)
        cosines, which = _top(cosines, k)
        places = places.gather(1, which)
    return places


def _top(values: Float[Tensor, "query n"], k: int) -> tuple[Tensor, Tensor]:
    best = values.topk(min(k, values.shape[1]), dim=1, sorted=False)
    return best.values, best.indices
