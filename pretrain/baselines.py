"""What any method must beat: constants, spot depth, and ridge on the same features with its alpha chosen honestly."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from hage_transfer.pretrain.calibration import calibrate
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.made_rows import MadeRows, Rows, evenly_drawn
from hage_transfer.pretrain.methods.score import section_pcc
from hage_transfer.pretrain.methods.selection import ALPHAS, held_out_parts
from hage_transfer.pretrain.ridges import Ridge as StreamedRidge


def all_zero(train: Spots, test: Spots) -> Float[np.ndarray, "spot gene"]:
    """Zero everywhere, which most entries are."""
    return np.broadcast_to(np.zeros((), np.float32), test.target.shape)


def gene_mean(train: Spots, test: Spots) -> Float[np.ndarray, "spot gene"]:
    """Each gene's mean over the training spots."""
    return np.broadcast_to(train.mean_target, test.target.shape)


def gene_median(train: Spots, test: Spots) -> Float[np.ndarray, "spot gene"]:
    """Each gene's median over the training spots (evenly spaced ones of many): the best constant for MAE."""
    known = train.target[evenly_drawn(*train.target.shape)]
    return np.broadcast_to(np.median(known, axis=0), test.target.shape)


def spot_depth(train: Spots, test: Spots) -> Rows:
    """Per-gene line on log10(1 + the spot's counts of panel genes).

    It reads the test spots' counts, as no image method may: a control that shows how much of a correlation is
    sequencing depth alone.
    """
    depth, test_depth = (np.log10(1 + spots.depth[:, None]) for spots in (train, test))
    return calibrate(
        np.broadcast_to(test_depth, test.target.shape),
        train_predicted=np.broadcast_to(depth, train.target.shape),
        train_target=train.target,
    )


def ridge(train: Spots, test: Spots, *, alpha: float) -> Rows:
    """Ridge regression on standardised features; alpha by ``choose_alpha`` on the training sections."""
    if isinstance(train.target, MadeRows):
        return StreamedRidge("ridge").on_rows(train, test, [np.arange(len(train))], {"alpha": alpha})[0]
    return _ridge(alpha).fit(train.features, train.target).predict(test.features)


def choose_alpha(train: Spots, *, unit: str) -> tuple[float, Mapping[float, float]]:
    """The alpha of best PCC over held-out parts of the training sections, and the score of every alpha.

    Parts are left out as the test is: whole patients where ``unit`` is ``patient`` and two or more train, else
    sections (up to five groups of either); with a single section, fifths of its spots in order. The range goes up to
    1e6, since across patients strong shrinkage wins.
    """
    train = train.few("ridge's alpha")
    splits = held_out_parts(train, unit=unit)
    scores = {alpha: float(np.mean([_score(alpha, train, fit, rest) for fit, rest in splits])) for alpha in ALPHAS}
    return max(scores, key=lambda alpha: scores[alpha]), scores


def _score(alpha: float, train: Spots, fit: np.ndarray, held_out: np.ndarray) -> float:
    predicted = _ridge(alpha).fit(train.features[fit], train.target[fit]).predict(train.features[held_out])
    return section_pcc(predicted, train.target[held_out], train.section[held_out])


def _ridge(alpha: float) -> Pipeline:
    return make_pipeline(StandardScaler(), Ridge(alpha=alpha))


CONTROLS = {
    "gene_mean": gene_mean,
    "gene_median": gene_median,
    "all_zero": all_zero,
    "spot_depth": spot_depth,
}
