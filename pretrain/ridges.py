"""Ridge and its kin on the frozen features: the bars that a gene-informed encoder has to pass.

Each is linear in (a map of) the features, with alpha, rank and kernel width chosen by leaving parts of the training
sections out (``selection.choose``); nothing of the test sections is read but their features and positions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hage_transfer.data.spot_context import spot_context
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.growing_array import new_array
from hage_transfer.pretrain.linear_maps import Scale, fitted_scaler, linear
from hage_transfer.pretrain.made_rows import Rows, constant_columns, evenly_drawn, made_rows
from hage_transfer.pretrain.methods.selection import ALPHAS, Positions, Setting, held_out_parts, means_over_parts
from hage_transfer.pretrain.ridge_path import FULL, Line, RidgePath, Sums

RANKS = (1, 2, 4, 8, 16, 32, 64)
KERNEL_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 2, 11))
KERNEL_WIDTHS = (0.1, 0.3, 1.0, 3.0)
"""gamma of the Gaussian kernel times the number of features: 1 is the width at which standardised features differ."""
N_LANDMARKS = 1000
NEIGHBOURS = 8


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

    def predict(self, fits: "Fits") -> Predicted:
        """Chooses the settings on the training spots, fits on all of them and predicts the test spots."""
        scores = self.scores(fits)
        setting = max(scores, key=lambda one: scores[one])
        width, alpha, rank = setting
        chosen = {"alpha": alpha}
        chosen |= {"rank": rank} if self.reduced else {}
        chosen |= {"kernel_width": width} if self.kernel else {}
        (test,) = self.on_rows(fits, [np.arange(len(fits.train()))], chosen)
        return Predicted(test, chosen, scores[setting])

    def scores(self, fits: "Fits") -> dict[Setting, float]:
        """PCC over held-out parts of the training spots under each kernel width, alpha and rank, in their order.

        Parts are left out as the test is (``held_out_parts``). Alphas go up to 1e6, since across patients strong
        shrinkage wins.
        """
        if self.kernel:
            return fits.kernel_scores
        ranks = fits.scores(context=self.context)
        return {setting: score for setting, score in ranks.items() if self.reduced or setting[2] == FULL}

    def on_rows(self, fits: "Fits", rows: Sequence[Positions], chosen: Mapping[str, float]) -> list[Rows]:
        """Predictions of one fit for each of several draws of training spots, under settings that were chosen before.

        What a vote of HAGE's trials is held against: each trial trains on a draw of the training spots, and so does
        each of these.

        Args:
            fits: of a fold.
            rows: of the training spots, one draw a fit.
            chosen: as ``predict`` chose on all training spots.
        """
        test = fits.test(context=self.context)
        found = []
        for one in rows:
            path = fits.kernel_path(one, chosen["kernel_width"]) if self.kernel else fits.path(one, self.context)
            line = path.at(chosen["alpha"], chosen.get("rank", FULL))
            found.append(_predicted(line, test))
        return found


class Fits:
    """What the ridges of one fold share: features with neighbours, sums over training spots, scores of settings.

    Each is made when a ridge first asks for it; the training spots are read once.

    Args:
        train: of a fold.
        test: of the fold; only features and positions are read. None: nothing is predicted.
        unit: ``patient`` or ``section``, what the inner parts leave out.
        context: a ridge may ask for features with the neighbours', whose sums hold those of the others.
    """

    def __init__(self, train: Spots, test: Spots | None = None, *, unit: str, context: bool = True) -> None:
        self._train, self._test, self._unit, self._context = train, test, unit, context

    def train(self, *, context: bool = False) -> Spots:
        """The training spots, with their neighbours' features if asked for."""
        return self._joined_train if context else self._train

    def test(self, *, context: bool = False) -> Spots:
        """Likewise the test spots."""
        if self._test is None:
            raise ValueError("no test spots were given")
        return self._joined_test if context else self._test

    def path(self, rows: Positions, context: bool) -> RidgePath:
        """The ridges on features that are standardised over some training spots."""
        rest = np.setdiff1d(np.arange(len(self._train)), rows)
        if len(rest) < len(rows):
            sums = self._sums.without(self._summed(rest)) if len(rest) else self._sums
        else:
            sums = self._summed(rows)
        return self._path(sums, context)

    def scores(self, *, context: bool) -> dict[Setting, float]:
        """Of alphas and ranks (``FULL`` last), with no kernel (width 0)."""
        return self._scores[context]

    @cached_property
    def _scores(self) -> dict[bool, dict[Setting, float]]:
        few = self._few
        ranks = (*(float(rank) for rank in RANKS if rank < few.target.shape[1]), FULL)
        rests = [rest for _, rest in held_out_parts(few, unit=self._unit)]
        held = [Sums.of(self._scale, few.features, few.target, rest) for rest in rests]
        whole = Sums(*(sum(each[1:], start=each[0]) for each in zip(*held, strict=True)))
        found = {}
        for context in (False, True) if self._context else (False,):
            paths = (
                (0.0, self._path(whole.without(one), context), rest) for one, rest in zip(held, rests, strict=True)
            )
            found[context] = _scored(self._first(few, context), paths, alphas=ALPHAS, ranks=ranks)
        return found

    @cached_property
    def kernel_scores(self) -> dict[Setting, float]:
        """Of kernel widths and alphas, at full rank."""
        few = self._first(self._few, context=False)
        paths = (
            (width, _kernel_path(few, fit, width), rest)
            for fit, rest in held_out_parts(few, unit=self._unit)
            for width in KERNEL_WIDTHS
        )
        return _scored(few, paths, alphas=KERNEL_ALPHAS, ranks=(FULL,))

    def kernel_path(self, rows: Positions, width: float) -> RidgePath:
        """On some training spots, evenly spaced ones where they are very many: a spot is told by 1,000 landmarks."""
        return _kernel_path(self._train, rows[evenly_drawn(len(rows), N_LANDMARKS)], width)

    def _path(self, sums: Sums, context: bool) -> RidgePath:
        width = self.train(context=context).features.shape[1]
        return RidgePath(self._scale.first(width), sums.first(width), standardised=True)

    def _summed(self, rows: Positions) -> Sums:
        return Sums.of(self._scale, self.train(context=self._context).features, self._train.target, rows)

    @cached_property
    def _sums(self) -> Sums:
        return self._summed(np.arange(len(self._train)))

    @cached_property
    def _scale(self) -> Scale:
        return Scale.of(fitted_scaler(self.train(context=self._context).features))

    @cached_property
    def _joined_train(self) -> Spots:
        return with_neighbours(self._train)

    @cached_property
    def _joined_test(self) -> Spots:
        return with_neighbours(self.test())

    @cached_property
    def _few(self) -> Spots:
        return self.train(context=self._context).few("settings of ridges")

    def _first(self, spots: Spots, context: bool) -> Spots:
        width = self.train(context=context).features.shape[1]
        return replace(spots, features=spots.features[:, :width])


def _kernel_path(train: Spots, rows: Positions, width: float) -> RidgePath:
    kernel = _Gaussian(width, min(N_LANDMARKS, len(rows)))
    mapped = make_pipeline(StandardScaler(), kernel).fit(train.features[rows])
    return RidgePath(mapped, Sums.of(mapped, train.features, train.target, rows))


def _scored(
    train: Spots,
    paths: Iterable[tuple[float, RidgePath, Positions]],
    *,
    alphas: Sequence[float],
    ranks: Sequence[float],
) -> dict[Setting, float]:
    """Mean score over parts of each (width, alpha, rank); of each path the width, and the rows that it is scored on."""
    scores: dict[Setting, list[float]] = {}
    for width, path, rest in paths:
        known = train.features[rest], train.target[rest], train.section[rest]
        for setting, score in path.pcc(*known, alphas=alphas, ranks=ranks).items():
            scores.setdefault((width, *setting), []).append(score)
    return means_over_parts(scores)


def _predicted(line: Line, test: Spots) -> Rows:
    shape = len(test), len(line.intercept)
    return made_rows(shape, lambda asked: line.predict(test.features[asked]))


def fitted_map(train: Spots, *, alpha: float, rank: float = FULL) -> LinearEncoder:
    """A ridge on all rows of ``train`` as one linear map from frozen features to expression."""
    scale = Scale.of(fitted_scaler(train.features))
    line = RidgePath(scale, Sums.of(scale, train.features, train.target)).at(alpha, rank)
    line.weights[:, constant_columns(train.target)] = 0.0  # rounding, which standardising would blow up
    weight, mean = line.weights / scale.scale[:, None], scale.mean + line.shift * scale.scale
    return linear(weight, mean=mean, bias=line.intercept)


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


PLAIN = Ridge("Ridge on the frozen features")
RIDGES = {
    "reduced_rank_ridge": Ridge("Reduced-rank ridge on the frozen features", reduced=True),
    "kernel_ridge": Ridge("Kernel ridge on the frozen features", kernel=True),
    "ridge_context": Ridge("Ridge with the neighbours' features", context=True),
    "reduced_rank_ridge_context": Ridge("Reduced-rank ridge with the neighbours' features", context=True, reduced=True),
}
"""Beside ``PLAIN``, called ridge: in every gene table."""
BAR = "reduced_rank_ridge"
"""Nothing below it is a result."""
BAGGED = {
    "bagged_ridge": ("ridge", Ridge("Ridge, one for each trial's spots")),
    "bagged_reduced_rank_ridge": (BAR, Ridge("Reduced-rank ridge, one for each trial's spots", reduced=True)),
}
"""One fit for the spots of each of HAGE's trials, with the settings of the named ridge: a vote against a vote."""
BAGGED_BAR = "bagged_reduced_rank_ridge"
"""What a vote of HAGE's trials is held against."""
