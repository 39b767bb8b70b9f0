"""What the training cohort looked like, and how far a new slide is from it: its tiles' features, and its stain.

Distances of the training slides themselves are measured by summaries that were fitted without their patient, so that a
new slide's place among them is fair.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from hage_transfer.apply.stain import spread_rows

MOST_TILES = 256
"""Tiles of a bag that its distance is taken over, spread over all of them."""
_AXES, _PARTS, _MIN_UNITS = 64, 5, 8
_LEAST_DENSITY = 1e-3


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
        shift = rows.mean(axis=0, dtype=np.float64)
        return cls._of_sums(_Sums.of(rows, shift), shift)

    @classmethod
    def fit_without(cls, parts: Sequence[Float[np.ndarray, "_ feature"]]) -> "Iterator[FeatureSpace]":
        """Of all parts but one, for each: their sums are taken once."""
        shift = parts[0].mean(axis=0, dtype=np.float64)  # sums of rows far from zero would lose their spread
        sums = [_Sums.of(rows, shift) for rows in parts]
        for left_out in range(len(parts)):
            yield cls._of_sums(_Sums.total([one for n, one in enumerate(sums) if n != left_out]), shift)

    @classmethod
    def _of_sums(cls, sums: "_Sums", shift: Float[np.ndarray, " feature"]) -> "FeatureSpace":
        from scipy.linalg import eigh

        n_rows, n_features = sums.rows, len(shift)
        away = sums.first / n_rows
        covariance = sums.second / n_rows - np.outer(away, away)
        mean, scale = away + shift, np.sqrt(np.maximum(np.diag(covariance), 0))
        scale[scale <= 1e-6 * np.abs(mean)] = np.inf
        covariance *= n_rows / (n_rows - 1) / np.outer(scale, scale)
        n_axes = max(min(_AXES, min(n_rows, n_features) // 2), 1)
        variances, axes = eigh(covariance, subset_by_index=(n_features - n_axes, n_features - 1))
        rest = max((np.trace(covariance) - variances.sum()) / max(n_features - n_axes, 1), 1e-3)
        return cls(mean, scale, axes.T[::-1], np.maximum(variances[::-1], rest), float(rest))

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
class _Sums:
    """Of rows less a shift: how many, their sum, and that of their products."""

    rows: int
    first: Float[np.ndarray, " feature"]
    second: Float[np.ndarray, "feature feature"]

    @classmethod
    def of(cls, rows: Float[np.ndarray, "row feature"], shift: Float[np.ndarray, " feature"]) -> "_Sums":
        values = rows - shift
        return cls(len(values), values.sum(axis=0), values.T @ values)

    @classmethod
    def total(cls, parts: "Sequence[_Sums]") -> "_Sums":
        first, second = (np.sum([getattr(one, name) for one in parts], axis=0) for name in ("first", "second"))
        return cls(sum(one.rows for one in parts), first, second)


@dataclass(frozen=True)
class StainSpace:
    """The distribution of the training slides' stain numbers; see ``stain_numbers``.

    Attributes:
        mean: of each number of ``amount_and_hue``; of a directory of an earlier version, of each stain number.
        precision: inverse of their shrunken covariance.
        by_hue: whether they are those of ``amount_and_hue``.
    """

    mean: Float[np.ndarray, " number"]
    precision: Float[np.ndarray, "number number"]
    by_hue: bool = True

    @classmethod
    def fit(cls, rows: Float[np.ndarray, "slide number"]) -> "StainSpace":
        """Of slides, at least two. Reference: Ledoit and Wolf 2004."""
        from sklearn.covariance import LedoitWolf

        values = amount_and_hue(rows)
        scale = np.maximum(values.std(axis=0), 1e-6)
        found = LedoitWolf().fit(values / scale)
        return cls(values.mean(axis=0), found.precision_ / np.outer(scale, scale))

    @classmethod
    def fit_without(cls, parts: Sequence[Float[np.ndarray, "_ number"]]) -> "Iterator[StainSpace]":
        """Of all parts but one, for each."""
        for left_out in range(len(parts)):
            yield cls.fit(np.concatenate([rows for n, rows in enumerate(parts) if n != left_out]))

    def __call__(self, rows: Float[np.ndarray, "slide number"]) -> float:
        """Mahalanobis distance, a number: about 1 within the cohort."""
        away = (amount_and_hue(rows) if self.by_hue else rows).mean(axis=0) - self.mean
        return float(np.sqrt(max(away @ self.precision @ away, 0) / len(away)))

    def tensors(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"by_hue.mean" if self.by_hue else "mean": self.mean, "precision": self.precision}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "StainSpace":
        """Back from ``tensors``."""
        by_hue = "by_hue.mean" in tensors
        mean, precision = (
            tensors[name].astype(np.float64) for name in ("by_hue.mean" if by_hue else "mean", "precision")
        )
        return cls(mean, precision, by_hue)


def amount_and_hue(rows: Float[np.ndarray, "slide number"]) -> Float[np.ndarray, "slide number"]:
    """Of means and of stds of optical density: log of their amount, log of red and of blue over green.

    By Lambert and Beer's law more dye multiplies all channels alike and leaves their ratios, so that amount, which
    differs from slide to slide, stands apart from hue, which is the stain's and the scanner's.
    """
    logs = np.log(np.maximum(rows, _LEAST_DENSITY)).reshape(len(rows), -1, 3)
    parts = [logs.mean(axis=2), logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]]
    return np.concatenate(parts, axis=1)


def held_out_distances(
    rows: Sequence[Float[np.ndarray, "_ number"]],
    groups: Sequence[object],
    fit_without: Callable[[Sequence[np.ndarray]], Iterator[Distance]],
) -> Float[np.ndarray, " unit"] | None:
    """Each unit's distance from a summary of the others, of other groups; None of too few units or groups.

    Args:
        rows: of each unit.
        groups: patient of each; a fifth of them is kept out at a time.
        fit_without: makes a summary of all parts but one, for each of some parts.
    """
    names = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(rows) < _MIN_UNITS or len(names) < 2:
        return None
    part = np.array([names[group] for group in groups]) % min(_PARTS, len(names))
    found = np.empty(len(rows))
    held = [np.flatnonzero(part == number) for number in np.unique(part)]
    spaces = fit_without([np.concatenate([rows[int(unit)] for unit in units]) for units in held])
    for units, space in zip(held, spaces, strict=True):
        for unit in units.tolist():
            found[unit] = space(rows[unit])
    return found
