"""Ridge regression from sums over spots: every alpha and rank of one eigendecomposition, and what each scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Int
from scipy.linalg import eigh

from hage_transfer.compare.genes import pcc_mean
from hage_transfer.compare.records import mean_of_defined
from hage_transfer.pretrain.made_rows import Rows, in_parts
from hage_transfer.pretrain.running_pcc import pcc_of_sums

FULL = 0.0
"""The rank of an unreduced prediction."""
_ENTRIES_AT_A_TIME = 2**22
_LEAST_VARIANCE = 1e-12


class Sums(NamedTuple):
    """Sums (float64) over spots of mapped features x and targets y: all that a ridge needs of the spots.

    What some of the spots add can be taken off, so spots that many fits share are read once.

    Attributes:
        n: spots.
        x: of x.
        y: of y.
        xx: of their products.
        xy: likewise.
    """

    n: Any
    x: Float64[np.ndarray, " mapped"]
    y: Float64[np.ndarray, " gene"]
    xx: Float64[np.ndarray, "mapped mapped"]
    xy: Float64[np.ndarray, "mapped gene"]

    @classmethod
    def of(
        cls,
        mapped: Any,
        features: Float[np.ndarray, "spot feature"],
        target: Rows,
        rows: Int[np.ndarray, " some"] | None = None,
    ) -> "Sums":
        """Over all spots or ``rows``, some hundreds at a time; ``mapped`` is fitted and transforms features."""
        rows = np.arange(len(features)) if rows is None else rows
        found: list[Any] = [0.0] * 4
        for part in in_parts(rows, target.shape[1], most=_ENTRIES_AT_A_TIME):
            x = np.asarray(mapped.transform(features[part]), dtype=np.float64)
            y = np.asarray(target[part], dtype=np.float64)
            for place, more in enumerate((x.sum(0), y.sum(0), x.T @ x, x.T @ y)):
                more += found[place]
                found[place] = more
        return cls(len(rows), *found)

    def without(self, some: "Sums") -> "Sums":
        """Of the other spots, where ``some`` are among these."""
        return Sums(*(all_of - one for all_of, one in zip(self, some, strict=True)))

    def first(self, width: int) -> "Sums":
        """Of the first columns of x alone."""
        return Sums(self.n, self.x[:width], self.y, self.xx[:width, :width], self.xy[:width])


@dataclass(frozen=True)
class Line:
    """A linear prediction: (mapped features - shift) @ weights + intercept."""

    mapped: Any
    weights: Float64[np.ndarray, "mapped gene"]
    shift: Float64[np.ndarray, " mapped"]
    intercept: Float64[np.ndarray, " gene"]

    def predict(self, features: Float[np.ndarray, "spot feature"]) -> Float64[np.ndarray, "spot gene"]:
        """On the scale of the targets."""
        return (self.mapped.transform(features) - self.shift) @ self.weights + self.intercept


class RidgePath:
    """Ridge regression under every alpha and rank from one eigendecomposition.

    With Z the centred features and Y the centred targets, W(alpha) = V (L + alpha)^-1 V' Z'Y, where Z'Z = V L V'. The
    prediction of rank k is the full one projected on the k leading right singular vectors of the training fit Z W.

    Args:
        mapped: from features to x.
        sums: over the spots to fit on.
        standardised: fit on x of variance 1 over these spots; a column that is constant over them stays as it is.

    References:
        Hoerl and Kennard, Technometrics 1970; reduced rank: Mukherjee and Zhu, Stat Anal Data Min 2011.
    """

    def __init__(self, mapped: Any, sums: Sums, *, standardised: bool = False) -> None:
        self._mapped, self._shift, self._intercept = mapped, sums.x / sums.n, sums.y / sums.n
        gram = sums.xx - np.outer(self._shift, sums.x)
        cross = sums.xy - np.outer(self._shift, sums.y)
        variance = np.diag(gram) / sums.n
        scale = np.sqrt(np.where(standardised & (variance > _LEAST_VARIANCE), variance, 1.0))
        values, vectors = eigh(gram / np.outer(scale, scale))
        self._values = np.maximum(values, 0.0)
        self._cross = vectors.T @ (cross / scale[:, None])
        self._vectors = vectors / scale[:, None]

    def at(self, alpha: float, rank: float = FULL) -> Line:
        """The fit of an alpha and a rank; ``FULL`` is not reduced."""
        weights = self._weights(alpha)
        if rank != FULL:
            kept = self._leading(weights, int(rank))
            weights = (weights @ kept.T) @ kept
        return Line(self._mapped, self._vectors @ weights, self._shift, self._intercept)

    def pcc(
        self,
        features: Float[np.ndarray, "spot feature"],
        target: Float[np.ndarray, "spot gene"],
        section: Int[np.ndarray, " spot"],
        *,
        alphas: Sequence[float],
        ranks: Sequence[float] = (FULL,),
    ) -> dict[tuple[float, float], float]:
        """``section_pcc`` of the prediction of other spots under every alpha and rank.

        A correlation needs neither shift nor more rows than features: each section is centred, and one of more spots
        than x has columns is turned (x = QR) into as many rows. They are float32.
        """
        sections = [self._turned(features[rows], target[rows]) for rows in _with_a_pcc(section)]
        found = {}
        for alpha in alphas:
            weights = self._weights(alpha)
            leading = self._leading(weights, int(max(ranks)))
            down = weights @ leading.T
            for rank in ranks:
                k = int(rank)
                maps = (weights,) if rank == FULL else (down[:, :k], leading[:k])
                found[alpha, rank] = _score(sections, maps)
        return found

    def _weights(self, alpha: float) -> Float64[np.ndarray, "mapped gene"]:
        return self._cross / (self._values + alpha)[:, None]

    def _leading(self, weights: Float64[np.ndarray, "mapped gene"], most: int) -> Float64[np.ndarray, "rank gene"]:
        if not most:
            return weights[:0]
        return _right_vectors(np.sqrt(self._values)[:, None] * weights, most)

    def _turned(
        self, features: Float[np.ndarray, "spot feature"], target: Float[np.ndarray, "spot gene"]
    ) -> tuple[Float32[np.ndarray, "row mapped"], Float32[np.ndarray, "row gene"], Float64[np.ndarray, " gene"]]:
        """A section's spots on the eigenvectors, its targets, both centred and in few rows; the targets' squares."""
        x, y = np.asarray(self._mapped.transform(features), dtype=np.float64), np.asarray(target, dtype=np.float64)
        x = np.where(np.ptp(x, axis=0) > 0, x - x.mean(0), 0.0) @ self._vectors
        y = np.where(np.ptp(y, axis=0) > 0, y - y.mean(0), 0.0)
        squares = np.einsum("sg,sg->g", y, y)
        if len(x) > x.shape[1]:
            turn, x = np.linalg.qr(x)
            y = turn.T @ y
        return x.astype(np.float32), y.astype(np.float32), squares


def _with_a_pcc(section: Int[np.ndarray, " spot"]) -> list[Int[np.ndarray, " row"]]:
    """Rows of each section of two spots or more."""
    rows = [np.flatnonzero(section == one) for one in np.unique(section)]
    return [one for one in rows if len(one) > 1]


def _score(sections: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], maps: Sequence[np.ndarray]) -> float:
    """``section_pcc`` of centred spots times ``maps``."""
    maps = [one.astype(np.float32) for one in maps]
    scores = []
    for x, y, squares in sections:
        predicted = np.linalg.multi_dot([x, *maps])
        own, both = (np.einsum("sg,sg->g", predicted, one).astype(np.float64) for one in (predicted, y))
        if not np.isfinite(own).all():
            return -float("inf")
        scores.append(pcc_mean(pcc_of_sums(own, squares, both)))
    return mean_of_defined(scores) or 0.0


def _right_vectors(matrix: Float64[np.ndarray, "row column"], most: int) -> Float64[np.ndarray, "rank column"]:
    """The leading right singular vectors, by the smaller of the two Gram matrices."""
    rows, columns = matrix.shape
    most = min(most, rows, columns)
    if columns <= rows:
        return eigh(matrix.T @ matrix, subset_by_index=(columns - most, columns - 1))[1].T[::-1]
    left = eigh(matrix @ matrix.T, subset_by_index=(rows - most, rows - 1))[1][:, ::-1]
    return np.linalg.qr(matrix.T @ left)[0].T
