"""Linear maps of features that are fitted on spots: to unit variance, and to uncorrelated components of it."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from hage_transfer.errors import DataError
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.pretrain.made_rows import evenly_drawn, in_parts

_LEAST_VARIANCE = 1e-6
_ENTRIES_AT_A_TIME = 2**24


def fitted_scaler(
    features: Float32[np.ndarray, "spot feature"], rows: Int[np.ndarray, " row"] | None = None
) -> StandardScaler:
    """scikit-learn's, fitted on some rows (None: all), part by part where they are many."""
    scaler = StandardScaler()
    rows = np.arange(len(features)) if rows is None else rows
    for part in in_parts(rows, features.shape[1], most=_ENTRIES_AT_A_TIME):
        scaler.partial_fit(features[part])
    return scaler


@dataclass(frozen=True)
class Scale:
    """Features less their mean over a scale, in float64."""

    mean: Float64[np.ndarray, " feature"]
    scale: Float64[np.ndarray, " feature"]

    @classmethod
    def of(cls, fitted: StandardScaler) -> "Scale":
        """That of scikit-learn's, in whose results float32 stays float32."""
        return cls(fitted.mean_, fitted.scale_)

    def first(self, width: int) -> "Scale":
        """Of the first features alone."""
        return Scale(self.mean[:width], self.scale[:width])

    def transform(self, features: Float[np.ndarray, "spot feature"]) -> Float64[np.ndarray, "spot feature"]:
        """To mean 0 and variance 1, over the spots that it is of."""
        return (features - self.mean) / self.scale


def standardised(features: Float32[np.ndarray, "spot feature"]) -> LinearEncoder:
    """Each feature to mean 0 and variance 1 over the spots; a constant one to 0."""
    scaler = fitted_scaler(features)
    return linear(np.diag(np.where(scaler.var_ > 0, 1 / scaler.scale_, 0.0)), mean=scaler.mean_)


def whitened(
    features: Float32[np.ndarray, "spot feature"],
    *,
    width: int,
    asked_by: tuple[str, str] = ("control pca", "controls=none"),
) -> LinearEncoder:
    """Principal components of the standardised features, each of variance 1 over the spots.

    Components that vary less than a millionth of the first are left out: rounding, made large. Of very many spots
    evenly spaced ones give the components.

    Args:
        features: of the training spots.
        width: components at most; there are no more than features, or than spots less one.
        asked_by: what they are for and the setting that leaves it out, as the message says.

    Raises:
        DataError: the features of all spots are the same.
    """
    if not np.ptp(features, axis=0).any():
        raise DataError(
            f"{asked_by[0]}: the features of all {len(features)} training spots are the same, so they have no "
            "principal component; look at the images (`encode_sections` drew where the spots lie), or set "
            f"{asked_by[1]}"
        )
    first = standardised(features)
    scale = first.weight.double().numpy()
    few = features[evenly_drawn(*features.shape)].astype(np.float64)
    few -= first.mean.numpy()
    few *= np.diag(scale)
    solver = "full" if len(few) == len(features) else "covariance_eigh"  # which holds no second array
    pca = PCA(min(width, features.shape[1], len(features) - 1), whiten=True, svd_solver=solver).fit(few)
    kept = pca.explained_variance_ > _LEAST_VARIANCE * pca.explained_variance_[0]
    weight = scale @ (pca.components_[kept] / np.sqrt(pca.explained_variance_[kept])[:, None]).T
    return linear(weight, mean=first.mean.numpy())


def linear(weight: np.ndarray, *, mean: np.ndarray, bias: np.ndarray | None = None) -> LinearEncoder:
    """Of arrays; see ``LinearEncoder``."""
    to = torch.from_numpy
    return LinearEncoder(to(weight), mean=to(mean), bias=None if bias is None else to(bias)).eval()
