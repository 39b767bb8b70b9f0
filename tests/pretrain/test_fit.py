"""The fit that every network shares: early stop, best epoch, one thread."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from threadpoolctl import threadpool_info
from torch.utils.data import DataLoader

from hage_transfer.pretrain.config import TrainSettings
from hage_transfer.pretrain.fit import VALIDATION_PCC, BestEpoch, fit, one_thread


class Scripted(lightning.LightningModule):
    """Counts its epochs in its weight and logs the scores it is told."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.weight, self.scores = torch.nn.Parameter(torch.zeros(())), scores

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return -self.weight

    def validation_step(self, batch: Any, index: int) -> None:
        self.log(VALIDATION_PCC, self.scores[self.current_epoch], batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def run(
    scores: list[float], folder: Path, *, patience: int = 2, snapshots: int = 1, fixed_epochs: int | None = None
) -> BestEpoch:
    settings = TrainSettings(epochs=len(scores), patience=patience, snapshots=snapshots)
    loader: DataLoader[Any] = DataLoader([0], batch_size=None)
    given = {"settings": settings, "device": "cpu", "tensorboard": folder / "curves", "fixed_epochs": fixed_epochs}
    return fit(Scripted(scores), loader, loader, **given)


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    best = run([0.1, 0.5, 0.3, 0.4], tmp_path, patience=4)
    assert (best.epoch, best.state["weight"].item()) == (1, 2.0)
    assert best.score == pytest.approx(0.5)
    assert [value for _, name, value in best.curves if name == VALIDATION_PCC] == pytest.approx([0.1, 0.5, 0.3, 0.4])


@pytest.mark.parametrize(
    ("snapshots", "fixed_epochs", "weight"), [(2, None, 3.0), (3, None, (2 + 4 + 3) / 3), (9, None, 2.5), (2, 4, 3.5)]
)
def test_snapshots_average_the_weights_of_the_best_epochs_or_the_last(tmp_path, snapshots, fixed_epochs, weight):
    best = run([0.1, 0.5, 0.3, 0.4], tmp_path, patience=4, snapshots=snapshots, fixed_epochs=fixed_epochs)
    assert best.state["weight"].item() == pytest.approx(weight)
    assert best.epoch == (1 if fixed_epochs is None else 3)


def test_training_stops_after_epochs_without_gain(tmp_path):
    best = run([0.5, 0.4, 0.4, 0.9, 0.9], tmp_path, patience=2)
    assert (best.epoch, max(epoch for epoch, _, _ in best.curves)) == (0, 2)


def test_no_finite_score_leaves_no_weights(tmp_path):
    assert not run([float("-inf")], tmp_path).state


def test_one_thread_holds_inside_alone():
    before = torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
    with one_thread():
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert (torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]) == before


def test_no_step_asks_nvml_for_devices(tmp_path, monkeypatch):
    asked: list[None] = []
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: asked.append(None) or 0)
    monkeypatch.setattr(Scripted, "configure_optimizers", lambda module: torch.optim.Adam(module.parameters(), lr=1.0))
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as the import of Lightning leaves it
    run([0.1], tmp_path)
    once = len(asked)
    run([0.1, 0.2, 0.3, 0.4], tmp_path)
    assert len(asked) == 2 * once
