"""Training of AB-MIL on some bags, with early stop on others; and its predictions."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hage_transfer.errors import SplitError
from mil.bags import BagSet
from mil.config import MilModelSettings, MilTrainSettings
from mil.models import ABMIL


@dataclass(frozen=True)
class TrainedMIL:
    """A trained model and the scaling that its features need.

    Attributes:
        model: in eval mode, with the weights of lowest validation loss (the last where there is no validation).
        mean: taken from every tile's features.
        std: by which they are then divided.
        epochs: how many were run.
        best_epoch: whose weights these are, from 0.
    """

    model: ABMIL
    mean: Float[Tensor, "feature"]
    std: Float[Tensor, "feature"]
    epochs: int
    best_epoch: int

    @torch.inference_mode()
    def probabilities(self, bags: BagSet, rows: Int[np.ndarray, "rows"]) -> Float[np.ndarray, "rows class"]:
        """Class probabilities of some bags, one bag at a time."""
        parts = [
            self.model(*_batch(bags, np.array([row]), mean=self.mean, std=self.std)).logits.softmax(dim=1)
            for row in rows.tolist()
        ]
        return torch.cat(parts).cpu().numpy()


def train_abmil(
    bags: BagSet,
    labels: Int[np.ndarray, "bag"],
    *,
    train: Int[np.ndarray, "train"],
    validation: Int[np.ndarray, "validation"],
    n_classes: int,
    model: MilModelSettings,
    options: MilTrainSettings,
    seed: int,
    device: str = "cpu",
) -> TrainedMIL:
    """Trains on the bags ``train``; stops early and picks weights by the loss on the bags ``validation``.

    As in CLAM: Adam, cross-entropy; after ``min_epochs``, stop once ``patience`` epochs went by without a lower
    validation loss. Without validation bags it runs to ``epochs``. Scaling is fitted on the tiles of ``train`` alone.
    The global random state is left as it was found; everything random follows from ``seed``.

    Raises:
        SplitError: no bag to train on.
        DataError: a bag that cannot be read.
    """
    if not len(train):
        raise SplitError("no slide to train on; fewer folds (split.folds) or less validation (train.validation)")
    if options.standardise:
        mean, std = map(torch.from_numpy, bags.moments(train))
    else:
        mean, std = torch.zeros(bags.feature_dim), torch.ones(bags.feature_dim)
    mean, std = mean.to(device), std.to(device)
    # Dropout draws from the global generator; the fork gives it back untouched.
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        network = ABMIL(bags.feature_dim, n_classes=n_classes, **model.model_dump()).to(device)
        optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
        targets = torch.from_numpy(labels).to(device)
        best_loss, best_epoch, best_state = float("inf"), -1, None
        for epoch in range(options.epochs):
            network.train()
            for rows in _steps(train, options.bags_per_step):
                logits = network(*_batch(bags, rows, mean=mean, std=std)).logits
                optimiser.zero_grad()
                functional.cross_entropy(logits, targets[rows]).backward()
                optimiser.step()
            if not len(validation):
                continue
            loss = _loss(network.eval(), bags, targets, validation, mean=mean, std=std)
            if loss < best_loss or best_state is None:
                best_loss, best_epoch, best_state = loss, epoch, copy.deepcopy(network.state_dict())
            elif epoch + 1 >= options.min_epochs and epoch - best_epoch >= options.patience:
                break
    if best_state is not None:
        network.load_state_dict(best_state)
    return TrainedMIL(network.eval(), mean, std, epoch + 1, best_epoch if best_state is not None else epoch)


def _steps(train: Int[np.ndarray, "train"], bags_per_step: int) -> Iterator[Int[np.ndarray, "rows"]]:
    order = train[torch.randperm(len(train)).numpy()]
    for start in range(0, len(order), bags_per_step):
        yield order[start : start + bags_per_step]


def _batch(
    bags: BagSet, rows: Int[np.ndarray, "rows"], *, mean: Tensor, std: Tensor
) -> tuple[Float[Tensor, "bag tile feature"], Bool[Tensor, "bag tile"]]:
    """Some bags, scaled, padded with zeros to the longest, and the mask of what is real."""
    loaded = [torch.from_numpy(bags.load(row)).to(mean.device) for row in rows.tolist()]
    padded = torch.zeros(len(loaded), max(map(len, loaded)), bags.feature_dim, device=mean.device)
    mask = torch.zeros(padded.shape[:2], dtype=torch.bool, device=mean.device)
    for place, tiles in enumerate(loaded):
        padded[place, : len(tiles)] = (tiles - mean) / std
        mask[place, : len(tiles)] = True
    return padded, mask


@torch.no_grad()
def _loss(network: ABMIL, bags: BagSet, targets: Tensor, rows: np.ndarray, *, mean: Tensor, std: Tensor) -> float:
    losses = [
        functional.cross_entropy(network(*_batch(bags, rows[[place]], mean=mean, std=std)).logits, targets[[row]])
        for place, row in enumerate(rows.tolist())
    ]
    return float(torch.stack(losses).mean())
