"""What a trial leaves behind in the run directory: its predictions (the last act), its encoder, its curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from hage_transfer.data.h5_file import open_h5
from hage_transfer.data.h5_writing import new_h5
from hage_transfer.pretrain.calibration import calibration_rows
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.growing_array import mapped
from hage_transfer.pretrain.made_rows import Rows, taken, write_rows
from hage_transfer.pretrain.methods.base import Trained

HAGE = "hage"
SHUFFLED = "shuffled"
"""HAGE trained on expression that is shuffled over the spots of each section: a control (``controls.encoders``)."""


@dataclass(frozen=True)
class TrialPaths:
    """Where a trial writes: predictions (its last act), encoder directory, TensorBoard folder."""

    predictions: Path
    encoder: Path
    tensorboard: Path

    @classmethod
    def of(
        cls, run: Path, fold: str, trial: int, *, sha256: str, source: str = HAGE, system: bool = False
    ) -> "TrialPaths":
        """The layout of a run directory.

        ``sha256`` of the inputs keeps what was made from others apart; the config's own HAGE has the short paths,
        every variant and compared system (``system``) a folder of its name.
        """
        folder = Path() if source == HAGE else Path(source)
        of_source = {HAGE: run / "encoders", SHUFFLED: run / "controls" / SHUFFLED}
        encoders = of_source.get(source, run / ("systems" if system else "variants") / source)
        return cls(
            predictions=run / "jobs" / fold / folder / f"trial_{trial}-{sha256[:12]}.h5",
            encoder=encoders / fold / f"trial_{trial}",
            tensorboard=run / "tensorboard" / fold / folder / f"trial_{trial}",
        )


@dataclass(frozen=True)
class TrialSummary:
    """What is small of a trial: its validation score and its curves, and the epoch that was kept (from 0)."""

    validation_pcc: float
    curves: Sequence[tuple[int, str, float]]
    best_epoch: int = 0

    @classmethod
    def load(cls, path: Path) -> "TrialSummary":
        """Reads it from the trial's prediction file without the predictions."""
        with open_h5(path) as file:
            return _summary(file)


@dataclass(frozen=True)
class TrialPredictions:
    """What a trial predicted, raw: for training spots (``calibration_rows``) and for those of the test sections."""

    train: Float[np.ndarray, "train gene"]
    test: Float[np.ndarray, "test gene"]
    summary: TrialSummary

    @classmethod
    def load(cls, path: Path) -> "TrialPredictions":
        """Reads the file that a trial wrote as its last act; its predictions are mapped, not held in memory."""
        with open_h5(path) as file:
            return cls(mapped(file["train"]), mapped(file["test"]), _summary(file))


def write_predicted(file: h5py.File, data: FoldData, train: Rows, test: Rows) -> None:
    """Puts predictions into a trial's open file: of the spots that calibrate, and of the test spots."""
    write_rows(file, "train", taken(train, calibration_rows(data.train)))
    write_rows(file, "test", test)


def write_trained(path: Path, trained: Trained, data: FoldData) -> None:
    """Writes the prediction file of a compared system's trial, in the form that HAGE's trials have."""
    with new_h5(path) as file:
        write_predicted(file, data, trained.train, trained.test)
        write_training(
            file, validation_pcc=trained.validation_pcc, best_epoch=trained.best_epoch, curves=trained.curves
        )
        for name, value in (trained.chosen or {}).items():
            file.attrs[f"chosen_{name}"] = value


def write_training(
    file: h5py.File, *, validation_pcc: float, best_epoch: int, curves: Sequence[tuple[int, str, float]]
) -> None:
    """Puts what training came to into a trial's open prediction file: what ``TrialSummary`` reads."""
    file.attrs["validation_pcc"] = validation_pcc
    file.attrs["best_epoch"] = best_epoch
    epochs, terms, values = zip(*curves, strict=True) if curves else ((), (), ())
    file["curves/epoch"] = np.array(epochs, dtype=np.int64)
    file["curves/value"] = np.array(values, dtype=np.float64)
    file.create_dataset("curves/term", data=np.array(terms, dtype=object), dtype=h5py.string_dtype())


def _summary(file: h5py.File) -> TrialSummary:
    epochs, terms, values = (file[f"curves/{name}"] for name in ("epoch", "term", "value"))
    curves = list(zip(epochs[...].tolist(), terms.asstr()[...].tolist(), values[...].tolist(), strict=True))
    return TrialSummary(float(file.attrs["validation_pcc"]), curves, int(file.attrs["best_epoch"]))
