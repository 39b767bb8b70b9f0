"""Training of torchmil's models on bags in memory, for mil_folds.py: a plain loop, and torchmil's own Trainer."""

from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torchmil.data import collate_fn
from torchmil.utils import Trainer


def plain_loop(
    model: Any, optimiser: Any, bags: list[Any], train: np.ndarray, validation: np.ndarray, *, epochs: int
) -> None:
    """A loop over bags as they lie in memory; leaves the weights of lowest validation loss in the model."""
    best, weights = float("inf"), model.state_dict()
    for _ in range(epochs):
        model.train()
        for place in torch.randperm(len(train)).tolist():
            bag = int(train[place])
            optimiser.zero_grad()
            _, losses = model.compute_loss(torch.tensor([bag % 2]), bags[bag][None])
            sum(losses.values()).backward()
            optimiser.step()
        model.eval()
        with torch.inference_mode():
            of_bags = [
                sum(map(float, model.compute_loss(torch.tensor([bag % 2]), bags[bag][None])[1].values()))
                for bag in validation.tolist()
            ]
        if np.mean(of_bags) < best:
            best, weights = float(np.mean(of_bags)), {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)


def torchmil_trainer(
    model: Any, optimiser: Any, bags: list[Any], train: np.ndarray, validation: np.ndarray, *, epochs: int
) -> None:
    """As torchmil's documentation has it; leaves the weights of lowest validation loss in the model."""
    rows = [TensorDict({"X": bag, "Y": torch.tensor(place % 2)}) for place, bag in enumerate(bags)]
    loaders = [
        torch.utils.data.DataLoader([rows[i] for i in some], batch_size=1, shuffle=shuffle, collate_fn=collate_fn)
        for some, shuffle in ((train, True), (validation, False))
    ]
    trainer = Trainer(
        model, optimiser, metrics_dict={}, obj_metric="loss", obj_metric_mode="min", device="cpu",
        disable_pbar=True, verbose=False,
    )  # fmt: skip
    trainer.train(epochs, *loaders)
    model.load_state_dict(trainer.get_best_model_state_dict())
