"""What a compared system is: a name, a reference, and a fit that predicts the training and the test spots."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from jaxtyping import Float, Int
from numpy import ndarray

from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.dataset import FoldData

SMALL_PANEL = 300


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one trial of a method is given.

    Attributes:
        data: of the fold; the test part holds features and coordinates to predict from, its counts are not read.
        rows: training spots, rows of ``data.train``.
        validation_rows: spots that pick the epoch (or the hyperparameter), rows of ``data.train``.
        config: of the run.
        seed: of this trial.
        device: torch device.
        tensorboard: folder for this trial's curves.
        pixels: whether the spots' features are their patches, on which an image network is trained.
    """

    data: FoldData
    rows: Int[ndarray, " train"]
    validation_rows: Int[ndarray, " val"]
    config: PretrainConfig
    seed: int
    device: str
    tensorboard: Path
    pixels: bool = False


@dataclass(frozen=True)
class Trained:
    """What one trial predicts, on the method's own scale.

    Attributes:
        train: predictions of every spot of ``data.train``, to calibrate by.
        test: predictions of every spot of ``data.test``.
        validation_pcc: mean over sections of the mean PCC over genes, on the validation spots.
        best_epoch: whose weights were kept; -1 where there are no epochs.
        curves: (epoch, term, value).
        chosen: hyperparameters that validation picked, for the table's notes.
        encoder: from a spot's frozen features to the numbers that the system predicts from, on the CPU, in eval mode;
            None where it has none.
    """

    train: Float[ndarray, "train gene"]
    test: Float[ndarray, "test gene"]
    validation_pcc: float
    _: KW_ONLY
    best_epoch: int = -1
    curves: Sequence[tuple[int, str, float]] = ()
    chosen: dict[str, float] | None = None
    encoder: StoredEncoder | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A compared system.

    Attributes:
        name: in ``methods`` of the config and in the results.
        title: in tables, saying that it is the feature-level form where the published one trains on pixels.
        reference: the paper.
        fit: trains and predicts a ``Task``.
        stochastic: whether trials differ beyond their validation split; others run once a fold.
        calibrated: whether its scale is arbitrary, so that errors are of calibrated predictions.
        embedding: what the numbers of its exported encoder are, in a few words.
    """

    name: str
    title: str
    reference: str
    fit: Callable[..., Trained]
    stochastic: bool = True
    calibrated: bool = False
    embedding: str = ""


def is_small_panel(n_genes: int) -> bool:
    """Whether a panel is of the size of cSCC's (171 genes in the field), for which published sizes differ."""
    return n_genes < SMALL_PANEL
