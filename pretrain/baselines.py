"""What any method must beat: constants, spot depth and the ridges."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hage_transfer.pretrain.calibration import calibrate
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.made_rows import Rows, evenly_drawn
from hage_transfer.pretrain.methods.selection import Positions
from hage_transfer.pretrain.ridges import BAGGED, PLAIN, RIDGES, Fits, Predicted


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


def ridges_of(
    train: Spots, test: Spots, *, unit: str, draws: Sequence[Positions]
) -> tuple[dict[str, Predicted], dict[float, float], dict[str, list[Rows]]]:
    """Every ridge by name, the score of each alpha of plain ridge, and by name the fits on each of the ``draws``."""
    fits = Fits(train, test, unit=unit)
    tuned = {name: one.predict(fits) for name, one in {"ridge": PLAIN, **RIDGES}.items()}
    bagged = {name: one.on_rows(fits, draws, tuned[of].chosen) for name, (of, one) in BAGGED.items()}
    return tuned, {alpha: score for (_, alpha, _), score in PLAIN.scores(fits).items()}, bagged


CONTROLS = {
    "gene_mean": gene_mean,
    "gene_median": gene_median,
    "all_zero": all_zero,
    "spot_depth": spot_depth,
}
