"""Ridge and its kin on the frozen features: the bars that a gene-informed encoder has to pass.

Each is linear in (a map of) the features, with alpha, rank and kernel width chosen by leaving parts of the training
sections out (``selection.choose``); nothing of the test sections is read but their features and positions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64
from scipy.linalg import eigh
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from hage_transfer.data.spot_context import spot_context
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.growing_array import new_array
from hage_transfer.pretrain.linear_maps import fitted_scaler, linear
from hage_transfer.pretrain.made_rows import Rows, constant_columns, evenly_drawn, in_parts, made_rows
from hage_transfer.pretrain.methods.selection import ALPHAS, Positions, Setting, choose

RANKS = (1, 2, 4, 8, 16, 32, 64)
KERNEL_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 2, 11))
KERNEL_WIDTHS = (0.1, 0.3, 1.0, 3.0)
"""gamma of the Gaussian kernel times the number of features: 1 is the width at which standardised features differ."""
N_LANDMARKS = 1000
NEIGHBOURS = 8
_ENTRIES_AT_A_TIME = 2**24
FULL = 0.0
"""The rank of an unreduced prediction."""


class RidgePath:
    """Ridge regression under every alpha and rank from one eigendecomposition.

    With Z the centred features and Y the centred targets, W(alpha) = V (L + alpha)^-1 V' Z'Y, where Z'Z = V L V'. The
    prediction of rank k is the full one projected on the k leading right singular vectors of the training fit Z W.

    References:
        Hoerl and Kennard, Technometrics 1970; reduced rank: Mukherjee and Zhu, Stat Anal Data Min 2011.
    """

    def __init__(
        self,
        mapped: Pipeline,
        features: Float[np.ndarray, "spot feature"],
        target: Rows,
        rows: Positions | None = None,
    ) -> None:
        """Fits on the map of the features (of ``rows``), some thousands of spots at a time; ``mapped`` is fitted."""
        rows = np.arange(len(features)) if rows is None else rows
        n = len(rows)
        shift, intercept, gram, cross = (np.zeros(()) for _ in range(4))
        for part in in_parts(rows, target.shape[1], most=_ENTRIES_AT_A_TIME):
            seen = np.asarray(mapped.transform(features[part]), dtype=np.float64)
            known = np.asarray(target[part], dtype=np.float64)
            shift, intercept = shift + seen.sum(0) / n, intercept + known.sum(0) / n
            gram, cross = gram + seen.T @ seen, cross + seen.T @ known
        self._mapped, self._shift, self._intercept = mapped, shift, intercept
        values, self._vectors = eigh(gram - n * np.outer(shift, shift))
        self._values = np.maximum(values, 0.0)
        self._cross = self._vectors.T @ (cross - n * np.outer(shift, intercept))

    def linear(
        self, alpha: float, rank: float = FULL
    ) -> tuple[Float64[np.ndarray, "mapped gene"], Float64[np.ndarray, " mapped"], Float64[np.ndarray, " gene"]]:
        """Weights, shift and intercept: the prediction is (mapped features - shift) @ weights + intercept."""
        weights = self._cross / (self._values + alpha)[:, None]
        if rank != FULL:
            kept = _right_vectors(np.sqrt(self._values)[:, None] * weights, int(rank))
            weights = (weights @ kept.T) @ kept
        return self._vectors @ weights, self._shift, self._intercept

    def predictions(
        self, features: Float[np.ndarray, "spot feature"], alphas: Sequence[float], ranks: Sequence[float] = (FULL,)
    ) -> Iterator[tuple[float, float, Float64[np.ndarray, "spot gene"]]]:
        """Alpha, rank and prediction, for every pair of them; ``FULL`` is not reduced."""
        return self._each(features, alphas, ranks)

    def _each(
        self, features: np.ndarray, alphas: Sequence[float], ranks: Sequence[float]
    ) -> Iterator[tuple[float, float, np.ndarray]]:
        rotated = (self._mapped.transform(features) - self._shift) @ self._vectors
        most = int(max(ranks))
        for alpha in alphas:
            weights = self._cross / (self._values + alpha)[:, None]
            whole = rotated @ weights
            leading = _right_vectors(np.sqrt(self._values)[:, None] * weights, most) if most else None
            for rank in ranks:
                if leading is None or rank == FULL:
                    yield alpha, rank, whole + self._intercept
                else:
                    kept = leading[: int(rank)]
                    yield alpha, rank, (whole @ kept.T) @ kept + self._intercept


def _right_vectors(matrix: Float64[np.ndarray, "row column"], most: int) -> Float64[np.ndarray, "rank column"]:
    """The leading right singular vectors, by the smaller of the two Gram matrices."""
    rows, columns = matrix.shape
    most = min(most, rows, columns)
    if columns <= rows:
        return eigh(matrix.T @ matrix, subset_by_index=(columns - most, columns - 1))[1].T[::-1]
    left = eigh(matrix @ matrix.T, subset_by_index=(rows - most, rows - 1))[1][:, ::-1]
    return np.linalg.qr(matrix.T @ left)[0].T


@dataclass(frozen=True)
class Predicted:
    """A baseline's prediction of the test spots.

    Attributes:
        test: on the scale of the targets.
        chosen: the settings of best held-out PCC.
        score: that PCC, inside the training sections.
    """

    test: Rows
    chosen: dict[str, float]
    score: float


@dataclass(frozen=True)
class Ridge:
    """One member of the family.

    Attributes:
        title: in tables.
        context: whether a spot's features are joined by the mean of its neighbours'.
        reduced: whether the rank of the prediction is chosen too.
        kernel: whether the features go through a Gaussian kernel first.
    """

    title: str
    context: bool = False
    reduced: bool = False
    kernel: bool = False

    def predict(self, train: Spots, test: Spots, *, unit: str) -> Predicted:
        """Chooses the settings on the training spots, fits on all of them and predicts the test spots.

        Args:
            train: of a fold.
            test: of the fold; only features and positions are read.
            unit: ``patient`` or ``section``, what the inner parts leave out.
        """
        if self.context:
            train, test = with_neighbours(train), with_neighbours(test)
        setting, score = self.choose(train, unit=unit)
        width, alpha, rank = setting
        chosen = {"alpha": alpha}
        chosen |= {"rank": rank} if self.reduced else {}
        chosen |= {"kernel_width": width} if self.kernel else {}
        return Predicted(self._fitted(train, test, np.arange(len(train)), setting), chosen, score)

    def choose(self, train: Spots, *, unit: str) -> tuple[Setting, float]:
        """Kernel width, alpha and rank of best PCC inside the training spots, and that PCC."""
        few = train.few(f"settings of {self.title}")
        return choose(few, lambda fit, rest: self._settings(few, fit, rest), unit=unit)

    def on_rows(self, train: Spots, test: Spots, rows: Sequence[Positions], chosen: Mapping[str, float]) -> list[Rows]:
        """Predictions of one fit for each of several draws of training spots, under settings that were chosen before.

        What a vote of HAGE's trials is held against: each trial trains on a draw of the training spots, and so does
        each of these.

        Args:
            train: of a fold; without context.
            test: of the fold.
            rows: of ``train``, one draw a fit.
            chosen: as ``predict`` chose on all training spots.
        """
        setting = chosen.get("kernel_width", 0.0), chosen["alpha"], chosen.get("rank", FULL)
        return [self._fitted(train, test, one, setting) for one in rows]

    def _fitted(self, train: Spots, test: Spots, rows: Positions, setting: Setting) -> Rows:
        width, alpha, rank = setting
        if self.kernel:  # a thousand landmarks a spot: on evenly spaced spots where they are very many
            rows = rows[evenly_drawn(len(rows), N_LANDMARKS)]
        path = RidgePath(self._map(train.features, rows, width), train.features, train.target, rows)

        def predicted(asked: Positions) -> Float64[np.ndarray, "test gene"]:
            ((_, _, found),) = path.predictions(test.features[asked], (alpha,), (rank,))
            return found

        return made_rows((len(test), train.target.shape[1]), predicted)

    def _settings(
        self, train: Spots, fit: Positions, rest: Positions
    ) -> Iterator[tuple[Setting, Float64[np.ndarray, "spot gene"]]]:
        n_genes = train.target.shape[1]
        ranks = tuple(float(rank) for rank in RANKS if rank < n_genes) if self.reduced else ()
        for width in KERNEL_WIDTHS if self.kernel else (0.0,):
            path = RidgePath(self._map(train.features, fit, width), train.features, train.target, fit)
            alphas = KERNEL_ALPHAS if self.kernel else ALPHAS
            for alpha, rank, predicted in path.predictions(train.features[rest], alphas, (*ranks, FULL)):
                yield (width, alpha, rank), predicted

    def _map(self, features: Float[np.ndarray, "spot feature"], rows: Positions, width: float) -> Pipeline:
        if self.kernel:
            kernel = _Gaussian(width, min(N_LANDMARKS, len(rows)))
            return make_pipeline(StandardScaler(), kernel).fit(features[rows])
        return make_pipeline(fitted_scaler(features, rows))


def fitted_map(train: Spots, *, alpha: float, rank: float = FULL) -> LinearEncoder:
    """A ridge on all rows of ``train`` as one linear map from frozen features to expression."""
    mapped = make_pipeline(fitted_scaler(train.features))
    weight, shift, intercept = RidgePath(mapped, train.features, train.target).linear(alpha, rank)
    weight[:, constant_columns(train.target)] = 0.0  # rounding, which standardising would blow up
    scaler = mapped[0]
    return linear(weight / scaler.scale_[:, None], mean=scaler.mean_ + shift * scaler.scale_, bias=intercept)


class _Gaussian(Nystroem):
    """A Gaussian kernel by Nystroem's landmarks, its width in units of the number of features."""

    def __init__(self, width: float = 1.0, n_components: int = N_LANDMARKS) -> None:
        super().__init__(n_components=n_components, random_state=0)
        self.width = width

    def fit(self, X: Float[np.ndarray, "spot feature"], y: None = None) -> "_Gaussian":
        """See scikit-learn's ``Nystroem.fit``."""
        self.gamma = self.width / X.shape[1]
        return super().fit(X, y)


def with_neighbours(spots: Spots) -> Spots:
    """Spots whose features are joined by the mean of those of their neighbours in the section."""
    joined = new_array((len(spots), 2 * spots.features.shape[1]), np.float32)
    for name in spots.section_names:
        rows = spots.rows_of(name)
        joined[rows] = spot_context(spots.features[rows], spots.coords_px[rows], neighbours=NEIGHBOURS)
    return replace(spots, features=joined)


RIDGES = {
    "reduced_rank_ridge": Ridge("Reduced-rank ridge on the frozen features", reduced=True),
    "kernel_ridge": Ridge("Kernel ridge on the frozen features", kernel=True),
    "ridge_context": Ridge("Ridge with the neighbours' features", context=True),
    "reduced_rank_ridge_context": Ridge("Reduced-rank ridge with the neighbours' features", context=True, reduced=True),
}
"""Beside ``baselines.ridge``: in every gene table."""
BAR = "reduced_rank_ridge"
"""Nothing below it is a result."""
BAGGED = {
    "bagged_ridge": ("ridge", Ridge("Ridge, one for each trial's spots")),
    "bagged_reduced_rank_ridge": (BAR, Ridge("Reduced-rank ridge, one for each trial's spots", reduced=True)),
}
"""One fit for the spots of each of HAGE's trials, with the settings of the named ridge: a vote against a vote."""
BAGGED_BAR = "bagged_reduced_rank_ridge"
"""What a vote of HAGE's trials is held against."""
