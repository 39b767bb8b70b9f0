"""Cross-check: the nearest class mean, which has nothing to train."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from hage_transfer.probes.directions import as_array, blocks, directions, training_scales
from hage_transfer.probes.rows import CHUNK_ROWS, LabelledFeatures


def class_mean_probabilities(
    features: LabelledFeatures | Float[np.ndarray, "row feature"],
    labels: Int[np.ndarray, " row"],
    training: Bool[np.ndarray, "fold row"],
    wanted: Bool[np.ndarray, "fold row"],
    *,
    n_classes: int,
    device: str = "cpu",
) -> Float[np.ndarray, "fold row class"]:
    """Softmax of the negative squared distance to each class's mean direction (see ``probes.directions``).

    The predicted class is that of the nearest mean, as in SimpleShot; distances have no scale of a probability, so
    AUC and accuracy mean something here and the calibration error does not. A class without training rows in a fold
    has probability 0. Rows that are not wanted are NaN.
    """
    rows = LabelledFeatures.of(features)
    scales = training_scales(rows, training, device=device)
    found = np.full((len(training), rows.n_rows, n_classes), np.nan, dtype=np.float32)
    for fold, scale in enumerate(scales):
        means = torch.zeros(n_classes, rows.n_features, dtype=torch.float64)
        own = np.flatnonzero(training[fold])
        for block in blocks(own, CHUNK_ROWS):
            means.index_add_(0, torch.from_numpy(labels[block]), directions(rows, block, scale).cpu().double())
        counts = torch.from_numpy(np.bincount(labels[own], minlength=n_classes))
        means /= counts.clamp(min=1).unsqueeze(1)
        prototypes = means.float().to(device)
        absent = (counts == 0).to(device)
        for block in blocks(np.flatnonzero(wanted[fold]), CHUNK_ROWS):
            # |x - m|^2 = |x|^2 + |m|^2 - 2 x.m; |x|^2 is the same for all classes
            scores = 2 * directions(rows, block, scale) @ prototypes.T - prototypes.square().sum(dim=1)
            found[fold, block] = as_array(scores.masked_fill(absent, -torch.inf).softmax(dim=1))
    return found
