"""Per-gene correlation of each section from batches as they come: what is kept does not grow with the spots."""

import numpy as np
from jaxtyping import Float, Float64, Int

from hage_transfer.compare.genes import pcc_mean
from hage_transfer.compare.records import mean_of_defined

_MOMENTS = ("count", "mean_x", "mean_y", "xx", "yy", "xy", "low_x", "high_x", "low_y", "high_y")


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

    def _add(self, section: int, moments: Float64[np.ndarray, "moment gene"]) -> None:
        before = self._sections.get(section)
        self._sections[section] = moments if before is None else _merged(before, moments)


def _moments(
    predicted: Float[np.ndarray, "spot gene"], target: Float[np.ndarray, "spot gene"]
) -> Float64[np.ndarray, "moment gene"]:
    x, y = predicted.astype(np.float64), target.astype(np.float64)
    mean_x, mean_y = x.mean(0), y.mean(0)
    centred_x, centred_y = x - mean_x, y - mean_y
    squares = (centred_x**2).sum(0), (centred_y**2).sum(0), (centred_x * centred_y).sum(0)
    count = np.full(x.shape[1], len(x), dtype=np.float64)
    return np.stack([count, mean_x, mean_y, *squares, x.min(0), x.max(0), y.min(0), y.max(0)])


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
    """NaN where the target is constant, 0 where only the prediction is."""
    m = _named(moments)
    product = np.sqrt(m["xx"]) * np.sqrt(m["yy"])
    varies = (m["low_x"] < m["high_x"]) & (product > 0)
    pcc = np.clip(np.divide(m["xy"], product, out=np.zeros_like(product), where=varies), -1.0, 1.0)
    pcc[m["low_y"] == m["high_y"]] = np.nan
    return pcc


def _named(moments: Float64[np.ndarray, "moment gene"]) -> dict[str, np.ndarray]:
    return dict(zip(_MOMENTS, moments, strict=True))
