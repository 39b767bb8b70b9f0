"""Per-gene correlation of each section from batches as they come: what is kept does not grow with the spots."""

import numpy as np
from jaxtyping import Float, Float64, Int

from hage_transfer.compare.genes import pcc_mean
from hage_transfer.compare.records import mean_of_defined

_MOMENTS = ("count", "mean_x", "mean_y", "xx", "yy", "xy", "low_x", "high_x", "low_y", "high_y")
_SPOTS_AT_A_TIME = 32
"""Of thousands of genes they stay in a processor's cache."""


class RunningPcc:
    """Moments (float64) of predicted and measured expression of each section, batch by batch.

    Batches are joined by the pairwise update of Chan, Golub and LeVeque (1979), which loses no digits where the mean
    is large beside the spread. The correlations are those of ``hage_transfer.compare.genes.gene_pcc``.
    """

    def __init__(self) -> None:
        self.finite = True
        self._sections: dict[int, Float64[np.ndarray, "moment gene"]] = {}

    def update(
        self,
        predicted: Float[np.ndarray, "batch gene"],
        target: Float[np.ndarray, "batch gene"],
        sections: Int[np.ndarray, " batch"],
    ) -> None:
        """Adds the spots of a batch; NaN or infinity among the predictions turns ``finite`` off."""
        if not np.isfinite(predicted).all():
            self.finite = False
            return
        for section in np.unique(sections).tolist():
            rows = sections == section
            self._add(section, _moments(predicted[rows], target[rows]))

    def score(self) -> float:
        """Mean over sections of the mean over genes; sections with one spot or constant targets alone are left out.

        Returns:
            -inf where a prediction was not finite; 0 where no section has a score.
        """
        if not self.finite:
            return -float("inf")
        return mean_of_defined(pcc_mean(pcc) for pcc in self.by_section()) or 0.0

    def by_section(self) -> list[Float64[np.ndarray, " gene"]]:
        """PCC of each gene in each section of two spots or more, as ``gene_pcc``."""
        return [_pcc(moments) for _, moments in sorted(self._sections.items()) if moments[0, 0] > 1]

    def with_those_of(self, other: "RunningPcc") -> "RunningPcc":
        """What both have seen."""
        both = RunningPcc()
        both.finite = self.finite and other.finite
        for one in (self, other):
            for section, moments in one._sections.items():
                both._add(section, moments)
        return both

    def _add(self, section: int, moments: Float64[np.ndarray, "moment gene"]) -> None:
        before = self._sections.get(section)
        self._sections[section] = moments if before is None else _merged(before, moments)


def _moments(
    predicted: Float[np.ndarray, "spot gene"], target: Float[np.ndarray, "spot gene"]
) -> Float64[np.ndarray, "moment gene"]:
    mean_x, mean_y = (side.mean(0, dtype=np.float64) for side in (predicted, target))
    squares = np.zeros((3, target.shape[1]))
    for start in range(0, len(target), _SPOTS_AT_A_TIME):
        rows = slice(start, start + _SPOTS_AT_A_TIME)
        x, y = predicted[rows] - mean_x, target[rows] - mean_y
        for place, (one, other) in enumerate(((x, x), (y, y), (x, y))):
            squares[place] += np.einsum("sg,sg->g", one, other)
    count = np.full(target.shape[1], len(target), dtype=np.float64)
    ends = [end for side in (predicted, target) for end in (side.min(0), side.max(0))]
    return np.stack([count, mean_x, mean_y, *squares, *ends])


def _merged(one: Float64[np.ndarray, "moment gene"], other: Float64[np.ndarray, "moment gene"]) -> np.ndarray:
    a, b = _named(one), _named(other)
    count = a["count"] + b["count"]
    share = b["count"] / count
    apart_x, apart_y = b["mean_x"] - a["mean_x"], b["mean_y"] - a["mean_y"]
    weight = a["count"] * share
    return np.stack(
        [
            count,
            a["mean_x"] + apart_x * share,
            a["mean_y"] + apart_y * share,
            a["xx"] + b["xx"] + apart_x**2 * weight,
            a["yy"] + b["yy"] + apart_y**2 * weight,
            a["xy"] + b["xy"] + apart_x * apart_y * weight,
            np.minimum(a["low_x"], b["low_x"]),
            np.maximum(a["high_x"], b["high_x"]),
            np.minimum(a["low_y"], b["low_y"]),
            np.maximum(a["high_y"], b["high_y"]),
        ]
    )


def _pcc(moments: Float64[np.ndarray, "moment gene"]) -> Float64[np.ndarray, " gene"]:
    m = _named(moments)
    xx, yy = (np.where(m[f"low_{side}"] < m[f"high_{side}"], m[2 * side], 0.0) for side in "xy")
    return pcc_of_sums(xx, yy, m["xy"])


def pcc_of_sums(
    xx: Float64[np.ndarray, " gene"], yy: Float64[np.ndarray, " gene"], xy: Float64[np.ndarray, " gene"]
) -> Float64[np.ndarray, " gene"]:
    """PCC of centred predictions and targets by the sums of their squares and products.

    Returns:
        NaN where the target is constant, 0 where only the prediction is.

    >>> pcc_of_sums(np.array([4.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    array([0.5, 0. , nan])
    """
    product = np.sqrt(xx) * np.sqrt(yy)
    pcc = np.clip(np.divide(xy, product, out=np.zeros_like(product), where=product > 0), -1.0, 1.0)
    pcc[yy == 0] = np.nan
    return pcc


def _named(moments: Float64[np.ndarray, "moment gene"]) -> dict[str, np.ndarray]:
    return dict(zip(_MOMENTS, moments, strict=True))
