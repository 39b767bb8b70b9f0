"""One Lightning fit, the same for every network of this package: early stop on validation PCC, best epoch kept."""

import logging
import math
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader

from hage_transfer.pretrain.config import TrainSettings
from hage_transfer.running.devices import copies_aside, deterministic
from hage_transfer.running.threads import torch_threads
from hage_transfer.running.ticks import share_of_epochs, tick

VALIDATION_PCC = "validation/pcc"
_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""As Lightning calls them; the last one scales its losses."""
_ASKS_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""Set by Lightning when it is imported: Adam would look for NVML at each step on a machine without it, 0.1 ms."""


class BestEpoch(Callback):
    """Keeps in memory the trained weights of the epoch of best validation PCC, and the curve of every logged term.

    Args:
        last: keep the weights of the last epoch instead.
        patience: epochs without a better one after which the fit may stop.
        snapshots: average the weights of so many best (or last) epochs.
    """

    def __init__(self, *, last: bool = False, patience: int = 1, snapshots: int = 1) -> None:
        self._last, self._patience, self._snapshots = last, patience, snapshots
        self.score, self.epoch = -float("inf"), -1
        self._kept: list[tuple[float, dict[str, torch.Tensor]]] = []
        self.curves: list[tuple[int, str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compares the epoch with the best so far."""
        self.curves += [(trainer.current_epoch, name, float(value)) for name, value in trainer.callback_metrics.items()]
        epochs, soonest = trainer.max_epochs or 1, self.epoch + 1 + self._patience
        tick(share_of_epochs(trainer.current_epoch + 1, soonest=epochs if self._last else soonest, most=epochs))
        score = float(trainer.callback_metrics[VALIDATION_PCC])
        if self._last or score > self.score:
            self.score, self.epoch = score, trainer.current_epoch
        rank = float(trainer.current_epoch) if self._last else score
        if (self._last or math.isfinite(score)) and (len(self._kept) < self._snapshots or rank > self._kept[-1][0]):
            frozen = {name for name, one in pl_module.named_parameters() if not one.requires_grad}
            state = pl_module.state_dict().items()
            kept = {name: value.detach().cpu().clone() for name, value in state if name not in frozen}
            self._kept = sorted([*self._kept, (rank, kept)], key=lambda one: -one[0])[: self._snapshots]

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """Weights of the best epoch, or the means over the snapshots; empty where no epoch had a finite score."""
        states = [state for _, state in self._kept]
        if len(states) < 2:
            return states[0] if states else {}
        return {
            name: torch.stack([one[name] for one in states]).mean(0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }


def fit(
    module: lightning.LightningModule,
    train: DataLoader[Any],
    validation: DataLoader[Any],
    *,
    settings: TrainSettings,
    device: str,
    tensorboard: Path,
    fixed_epochs: int | None = None,
) -> BestEpoch:
    """Trains ``module``, which logs ``VALIDATION_PCC``; the caller loads ``state`` of the best epoch.

    Args:
        module: computes its own loss and metric.
        train: batches of an epoch.
        validation: batches of the validation spots.
        settings: epochs, patience and precision.
        device: torch device.
        tensorboard: folder of this trial's curves.
        fixed_epochs: exactly so many, and the last one is kept; None: early stop, best epoch.

    Returns:
        The best epoch; its ``state`` is empty where no epoch had a finite score.
    """
    best = BestEpoch(last=fixed_epochs is not None, patience=settings.patience, snapshots=settings.snapshots)
    stop = [EarlyStopping(VALIDATION_PCC, mode="max", patience=settings.patience)] if fixed_epochs is None else []
    os.environ.pop(_ASKS_NVML, None)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # a frozen encoder is, on purpose
        trainer = lightning.Trainer(
            **_placement(device),
            precision=_PRECISIONS[settings.precision],
            max_epochs=fixed_epochs or settings.epochs,
            logger=TensorBoardLogger(tensorboard.parent, name="", version=tensorboard.name),
            callbacks=[best, *stop],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        train.pin_memory = validation.pin_memory = copies_aside(device)  # Lightning then copies aside
        try:
            with deterministic(settings.deterministic):
                trainer.fit(module, train, validation)
        except SystemExit:  # what Lightning makes of Ctrl-C, after it has turned further ones off
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
    return best


@contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread inside, so that numbers do not depend on how many jobs share the machine, or on where they run."""
    with torch_threads(1), threadpool_limits(1):  # the second: NumPy's and scikit-learn's
        yield


def _placement(device: str) -> dict[str, Any]:
    kind, _, number = device.partition(":")
    accelerator = {"cuda": "gpu"}.get(kind, kind)
    return {"accelerator": accelerator, "devices": [int(number)] if number and accelerator != "cpu" else 1}
