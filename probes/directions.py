"""Features as directions: standardised by a fold's training rows and scaled to length one.

Reference: Wang et al. 2019, SimpleShot ("CL2N"); UNI's k-NN and class-mean probes take the same steps.
Deviation: each feature is divided by its standard deviation too. Angles between raw features are those of its few
widest columns, so a source that only standardises would seem to gain, and gene-informed encoders standardise first.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hage_transfer.probes.moments import training_moments
from hage_transfer.probes.rows import LabelledFeatures
from hage_transfer.running.devices import to_device


@dataclass(frozen=True)
class FoldScale:
    """Mean and standard deviation of a fold's training rows; infinite of a constant feature, which says nothing."""

    mean: Float[Tensor, " feature"]
    std: Float[Tensor, " feature"]


def training_scales(
    features: LabelledFeatures, training: Bool[np.ndarray, "fold row"], *, device: str
) -> list[FoldScale]:
    """What each fold standardises by.

    Raises:
        DataError: NaN or infinity among the features.
    """
    moments = training_moments(features, training)
    means, stds = (moments.mean + moments.shift).to(device), moments.scale.to(device)
    return [FoldScale(mean, std) for mean, std in zip(means, stds, strict=True)]


def directions(
    features: LabelledFeatures, rows: Int[np.ndarray, " chosen"], scale: FoldScale
) -> Float[Tensor, "chosen feature"]:
    """Chosen rows, standardised, of length one (a row at the mean stays zero)."""
    return functional.normalize((to_device(features.take(rows), scale.mean.device) - scale.mean) / scale.std, dim=1)


def blocks(rows: Int[np.ndarray, " row"], size: int) -> list[Int[np.ndarray, " block"]]:
    """Rows in pieces of at most ``size``."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def as_array(values: Float[Tensor, "..."]) -> np.ndarray:
    """Values on the CPU, in float32."""
    return values.to("cpu", torch.float32).numpy()
