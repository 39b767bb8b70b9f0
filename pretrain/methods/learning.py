"""What training shares among the compared systems: the seed, one fit, the best epoch's weights."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.fit import BestEpoch, fit, one_thread
from hage_transfer.pretrain.methods.base import Task


@contextmanager
def seeded(task: Task) -> Iterator[None]:
    """One thread, and random numbers by the trial's seed alone; the caller's generators are left as they were."""
    with one_thread(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(task.seed)
        yield


def learn(
    task: Task, module: lightning.LightningModule, train: DataLoader[Any], validation: DataLoader[Any], *, name: str
) -> BestEpoch:
    """Fits ``module`` and leaves it in eval mode with the weights of the best epoch, on the CPU unless it reads pixels.

    Raises:
        ConfigError: no epoch had a finite validation score.
    """
    shutil.rmtree(task.tensorboard, ignore_errors=True)
    best = fit(module, train, validation, settings=task.config.train, device=task.device, tensorboard=task.tensorboard)
    if not best.state:
        raise ConfigError(
            f"{name} on {task.data.fold.name}: no epoch had a finite validation score, so training diverged; "
            "look for NaN or huge values among the features, or leave the method out"
        )
    module.load_state_dict(best.state)
    module.to(task.device if task.pixels else "cpu").eval()
    return best
