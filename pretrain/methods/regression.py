"""Systems that regress expression: one Lightning module and one fit for spots alone or whole sections."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import Parameter

from hage_transfer.models.section_encoders import HisToGeneEncoder, SpotInputs
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.fit import VALIDATION_PCC, BestEpoch
from hage_transfer.pretrain.methods.base import Task, Trained
from hage_transfer.pretrain.methods.batches import (
    LaidSection,
    SpotBatch,
    lay_sections,
    row_inputs,
    row_loader,
    section_loader,
    spot_grid,
)
from hage_transfer.pretrain.methods.images import image_side
from hage_transfer.pretrain.methods.learning import learn, seeded
from hage_transfer.pretrain.methods.score import section_pcc

Optimiser = Callable[[Iterable[Parameter]], torch.optim.Optimizer]
SECTION_STEPS = 31
PREDICT_BATCH = 4096


class ExpressionNetwork(nn.Module):
    """A network that predicts expression from ``SpotInputs``; taught by squared error unless it says otherwise."""

    def stored(self) -> StoredEncoder | None:
        """The part that embeds; None where the network has none."""
        return None

    def losses(self, batch: SpotBatch) -> dict[str, Tensor]:
        """Terms of the loss over the scored spots, already weighted; their sum is minimised."""
        error = self(batch.inputs)[batch.places] - batch.target[batch.places]
        return {"mse": error.square().mean()}


class RegressionModule(lightning.LightningModule):
    """Trains an ``ExpressionNetwork`` and scores it on the spots of validation batches."""

    def __init__(self, network: ExpressionNetwork, optimiser: Optimiser) -> None:
        super().__init__()
        self.network, self.optimiser = network, optimiser
        self._validation: list[tuple[Tensor, Tensor, Tensor]] = []

    def training_step(self, batch: SpotBatch, batch_index: int) -> Tensor:
        """One step; logs every term."""
        terms = self.network.losses(batch)
        loss = torch.stack(list(terms.values())).sum()
        logged = {f"train/{name}": value for name, value in {**terms, "total": loss}.items()}
        self.log_dict(logged, on_epoch=True, on_step=False, batch_size=len(batch.places))
        return loss

    def validation_step(self, batch: SpotBatch, batch_index: int) -> None:
        """Gathers predictions of the scored spots."""
        predicted, scored = self.network(batch.inputs).float(), batch.places
        self._validation.append((predicted[scored], batch.target[scored], batch.section[scored]))

    def on_validation_epoch_end(self) -> None:
        """The score that stops training and picks the epoch."""
        parts = (torch.cat(part).cpu().numpy() for part in zip(*self._validation, strict=True))
        self.log(VALIDATION_PCC, section_pcc(*parts))
        self._validation.clear()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The method's own."""
        return self.optimiser(self.parameters())


def fit_spots(task: Task, build: Callable[[], ExpressionNetwork], optimiser: Optimiser, *, name: str) -> Trained:
    """Trains on batches of random spots, each predicted from its own features alone.

    Args:
        task: the trial.
        build: makes the network, under the trial's seed.
        optimiser: of the parameters.
        name: of the method, for errors.
    """
    spots, size = task.data.train, task.config.train.batch_size
    grid = spot_grid(spots)
    with seeded(task):
        module = RegressionModule(build(), optimiser)
        best = learn(
            task,
            module,
            row_loader(spots, task.rows, grid, batch_size=size, seed=task.seed),
            row_loader(spots, task.validation_rows, grid, batch_size=PREDICT_BATCH, seed=None),
            name=name,
        )
        predicted = (_predict_spots(module.network, part) for part in (spots, task.data.test))
        return _trained(task, module.network, best, *predicted)


def fit_sections(
    task: Task,
    *,
    encoder: Callable[..., HisToGeneEncoder],
    head: Callable[..., ExpressionNetwork],
    learning_rate: float,
    name: str,
    min_steps: int = SECTION_STEPS,
    **sizes: Any,
) -> Trained:
    """Trains on whole sections, one a step, by Adam.

    A section's sequence (and graph) is all its spots. Validation spots are masked from the loss; their image features
    and positions are seen as context, their expression is not, exactly as a test section's spots see each other.

    Deviation: narrower tokens, half the heads and a higher rate than published (1e-5 to 1e-4 over some 300 epochs), so
    that a trial on one CPU core takes seconds; the rates are the best of a few by validation PCC on training sections.

    Args:
        task: the trial.
        encoder: of sections.
        head: called with the encoder and the number of genes.
        learning_rate: of Adam.
        name: of the method, for errors.
        min_steps: steps of an epoch. Deviation: an epoch of few sections is repeated up to the 31 steps that it has in
            the published protocol (32 sections, one left out), else a handful of sections would leave these networks
            at their initial weights.
        sizes: of the encoder, other than its defaults.

    Raises:
        ConfigError: a section has too many spots for attention over all of them.
    """
    spots = task.data.train
    laid, test_laid = lay_sections(spots), lay_sections(task.data.test)
    with seeded(task):
        built = encoder(*image_side(task, flat=True), n_positions=n_positions(spots), **sizes)
        optimiser = partial(torch.optim.Adam, lr=learning_rate, fused=True)
        module = RegressionModule(head(built, len(task.data.genes)), optimiser)
        best = learn(
            task,
            module,
            section_loader(spots, laid, task.rows, seed=task.seed, min_steps=min_steps),
            section_loader(spots, laid, task.validation_rows, seed=None),
            name=name,
        )
        predicted = (
            _predict_sections(module.network, part, its) for part, its in ((spots, laid), (task.data.test, test_laid))
        )
        return _trained(task, module.network, best, *predicted)


def n_positions(spots: Spots, *, at_least: int = 64) -> int:
    """Entries of a position table: the published 64, or as many as the training sections need."""
    return max(at_least, int(spot_grid(spots).max()) + 1)


def _trained(task: Task, network: ExpressionNetwork, best: BestEpoch, train: np.ndarray, test: np.ndarray) -> Trained:
    encoder = None if task.pixels else network.stored()
    return Trained(train, test, best.score, best_epoch=best.epoch, curves=tuple(best.curves), encoder=encoder)


def _predict(network: ExpressionNetwork, inputs: SpotInputs) -> Float32[np.ndarray, "spot gene"]:
    device = next(network.parameters()).device
    return network(SpotInputs(*(one.to(device) for one in inputs))).cpu().numpy()


@torch.inference_mode()
def _predict_spots(network: ExpressionNetwork, spots: Spots) -> Float32[np.ndarray, "spot gene"]:
    grid = spot_grid(spots)
    starts = range(0, len(spots), PREDICT_BATCH)
    rows = (np.arange(start, min(start + PREDICT_BATCH, len(spots))) for start in starts)
    return np.concatenate([_predict(network, row_inputs(spots, part, grid)) for part in rows])


@torch.inference_mode()
def _predict_sections(
    network: ExpressionNetwork, spots: Spots, laid: Iterable[LaidSection]
) -> Float32[np.ndarray, "spot gene"]:
    parts = [(section.rows, _predict(network, section.inputs(spots))) for section in laid]
    rows, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    predicted = np.empty_like(values)
    predicted[rows] = values
    return predicted
