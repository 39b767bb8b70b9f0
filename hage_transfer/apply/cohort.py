"""What the training cohort looked like, and how far a new slide is from it: its tiles' features, and its stain.

Distances of the training slides themselves are measured by summaries that were fitted without their patient, so that a
new slide's place among them is fair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from hage_transfer.apply.stain import spread_rows

MOST_TILES = 256
"""Tiles of a bag that its distance is taken over, spread over all of them."""
_MOST_ROWS, _AXES, _PARTS, _MIN_UNITS = 20_000, 64, 5, 8


class Distance(Protocol):
    """Of one unit's rows from a cohort."""

    def __call__(self, rows: Float[np.ndarray, "row number"], /) -> float:
        """About 1 within the cohort."""
        ...


@dataclass(frozen=True)
class FeatureSpace:
    """The distribution of training tiles: a Gaussian of some axes with one variance for all the rest.

    Reference: Tipping and Bishop 1999 (probabilistic PCA); Lee et al. 2018 (Mahalanobis distance of features for what
    is out of distribution).

    Attributes:
        mean: of each feature.
        scale: its std; infinite where it is constant.
        axes: of largest variance, of the scaled features.
        variances: along them.
        rest: mean variance along all others.
    """

    mean: Float[np.ndarray, " feature"]
    scale: Float[np.ndarray, " feature"]
    axes: Float[np.ndarray, "axis feature"]
    variances: Float[np.ndarray, " axis"]
    rest: float

    @classmethod
    def fit(cls, rows: Float[np.ndarray, "row feature"]) -> "FeatureSpace":
        """Of rows, at least two."""
        from sklearn.decomposition import PCA

        values = rows[spread_rows(len(rows), _MOST_ROWS)].astype(np.float64)
        mean, scale = values.mean(axis=0), values.std(axis=0)
        scale[scale <= 1e-6 * np.abs(mean)] = np.inf
        n_axes = max(min(_AXES, min(values.shape) // 2), 1)
        found = PCA(n_axes, svd_solver="covariance_eigh").fit((values - mean) / scale)
        rest = max(float(found.noise_variance_), 1e-3)
        variances = np.maximum(found.explained_variance_, rest)
        return cls(mean, scale, found.components_, variances, rest)

    def __call__(self, rows: Float[np.ndarray, "row feature"]) -> float:
        """Root of the mean squared Mahalanobis distance of the rows, a feature: about 1 within the cohort."""
        scaled = (rows[spread_rows(len(rows), MOST_TILES)].astype(np.float64) - self.mean) / self.scale
        along = scaled @ self.axes.T
        beyond = (scaled**2).sum(axis=1) - (along**2).sum(axis=1)
        squared = (along**2 / self.variances).sum(axis=1) + np.maximum(beyond, 0) / self.rest
        return float(np.sqrt(squared.mean() / scaled.shape[1]))

    def tensors(self) -> dict[str, np.ndarray]:
        """For a file, float32."""
        named = {"mean": self.mean, "scale": self.scale, "axes": self.axes, "variances": self.variances}
        return {name: value.astype(np.float32) for name, value in (named | {"rest": np.array([self.rest])}).items()}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "FeatureSpace":
        """Back from ``tensors``."""
        found = {name: tensors[name].astype(np.float64) for name in ("mean", "scale", "axes", "variances")}
        return cls(**found, rest=float(tensors["rest"][0]))


@dataclass(frozen=True)
class StainSpace:
    """The distribution of the training slides' stain numbers; see ``stain_numbers``.

    Attributes:
        mean: of each number.
        precision: inverse of their shrunken covariance.
    """

    mean: Float[np.ndarray, " number"]
    precision: Float[np.ndarray, "number number"]

    @classmethod
    def fit(cls, rows: Float[np.ndarray, "slide number"]) -> "StainSpace":
        """Of slides, at least two. Reference: Ledoit and Wolf 2004."""
        from sklearn.covariance import LedoitWolf

        scale = np.maximum(rows.std(axis=0), 1e-6)
        found = LedoitWolf().fit(rows / scale)
        return cls(rows.mean(axis=0), found.precision_ / np.outer(scale, scale))

    def __call__(self, rows: Float[np.ndarray, "slide number"]) -> float:
        """Mahalanobis distance, a number: about 1 within the cohort."""
        away = rows.mean(axis=0) - self.mean
        return float(np.sqrt(max(away @ self.precision @ away, 0) / len(away)))


def held_out_distances(
    rows: Sequence[Float[np.ndarray, "row number"]],
    groups: Sequence[object],
    fit: Callable[[np.ndarray], Distance],
) -> Float[np.ndarray, " unit"] | None:
    """Each unit's distance from a summary of the others, of other groups; None of too few units or groups.

    Args:
        rows: of each unit.
        groups: patient of each; a fifth of them is kept out at a time.
        fit: makes the summary of rows.
    """
    names = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(rows) < _MIN_UNITS or len(names) < 2:
        return None
    part = np.array([names[group] for group in groups]) % min(_PARTS, len(names))
    found = np.empty(len(rows))
    for number in np.unique(part):
        space = fit(np.concatenate([own for own, of in zip(rows, part, strict=True) if of != number]))
        for unit in np.flatnonzero(part == number):
            found[unit] = space(rows[int(unit)])
    return found
