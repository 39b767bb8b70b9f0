"""Features as directions: centred by a fold's training rows and scaled to length one, as SimpleShot does.

Reference: Wang et al. 2019, SimpleShot ("CL2N"); UNI's k-NN and class-mean probes take the same steps.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hage_transfer.probes.moments import training_moments
from hage_transfer.probes.rows import LabelledFeatures


def training_centres(
    features: LabelledFeatures, training: Bool[np.ndarray, "fold row"], *, device: str
) -> Float[Tensor, "fold feature"]:
    """Mean of each fold's training rows.

    Raises:
        DataError: NaN or infinity among the features.
    """
    moments = training_moments(features, training)
    return (moments.mean + moments.shift).to(device)


def directions(
    features: LabelledFeatures, rows: Int[np.ndarray, " chosen"], centre: Float[Tensor, " feature"]
) -> Float[Tensor, "chosen feature"]:
    """Chosen rows less the centre, of length one (a row at the centre stays zero)."""
    return functional.normalize(features.take(rows).to(centre.device) - centre, dim=1)


def blocks(rows: Int[np.ndarray, " row"], size: int) -> list[Int[np.ndarray, " block"]]:
    """Rows in pieces of at most ``size``."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def as_array(values: Float[Tensor, "..."]) -> np.ndarray:
    """Values on the CPU, in float32."""
    return values.to("cpu", torch.float32).numpy()
