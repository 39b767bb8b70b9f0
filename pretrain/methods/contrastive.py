"""Systems that align image and expression and predict by retrieval: one Lightning module and one fit."""

from collections.abc import Callable
from dataclasses import dataclass

import lightning
import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from hage_transfer.models.projection import ProjectionEncoder
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.fit import VALIDATION_PCC
from hage_transfer.pretrain.methods.base import Task, Trained
from hage_transfer.pretrain.methods.batches import SpotBatch, row_loader, spot_grid
from hage_transfer.pretrain.methods.learning import learn, seeded
from hage_transfer.pretrain.methods.regression import Optimiser
from hage_transfer.pretrain.methods.retrieval import match, mean_expression
from hage_transfer.pretrain.methods.score import section_pcc

IMAGE_SIDE = "its image side's place in the space that it shares with expression"


class TwoTowers(nn.Module):
    """Embeds images and spots into one space; a subclass says how, and what the loss is.

    Attributes:
        images: the image side.
    """

    images: ProjectionEncoder

    def embed_spots(
        self, target: Float[Tensor, "spot gene"], grid: Int[Tensor, "spot 2"]
    ) -> Float[Tensor, "spot embed"]:
        """Embeddings of expression; the rows of a batch may see each other."""
        raise NotImplementedError

    def embed_library(
        self, target: Float[Tensor, "spot gene"], grid: Int[Tensor, "spot 2"]
    ) -> Float[Tensor, "spot embed"]:
        """Embeddings of all training spots, as retrieval reads them."""
        raise NotImplementedError

    def loss(self, images: Float[Tensor, "spot embed"], spots: Float[Tensor, "spot embed"]) -> Float[Tensor, ""]:
        """Contrastive loss of a batch of pairs."""
        raise NotImplementedError


@dataclass(frozen=True)
class Library:
    """The training spots that may answer a query: never validation, never test.

    Attributes:
        spots: of the training sections.
        rows: the training rows among them.
        grid: positions of all of ``spots``.
        k: matches of a query.
        weighted: by 1 / (L1 distance)^2, else equally.
    """

    spots: Spots
    rows: Int[np.ndarray, " library"]
    grid: Int[np.ndarray, "spot 2"]
    k: int
    weighted: bool

    @torch.inference_mode()
    def predict(
        self,
        towers: TwoTowers,
        features: np.ndarray,
        *,
        own_rows: Int[np.ndarray, " query"] | None = None,
    ) -> Float32[np.ndarray, "query gene"]:
        """Expression of queries by retrieval; ``own_rows`` (in ``spots``) keeps a training spot from itself."""
        device = next(towers.parameters()).device
        target, grid = self.spots.target[self.rows], self.grid[self.rows]
        keys = towers.embed_library(torch.from_numpy(target).to(device), torch.from_numpy(grid).to(device)).cpu()
        parts = range(0, len(features), 4096)
        queries = [
            towers.images(torch.from_numpy(np.array(features[start : start + 4096])).to(device)).cpu()
            for start in parts
        ]
        own = None if own_rows is None else torch.from_numpy(self._positions()[own_rows])
        return mean_expression(match(torch.cat(queries), keys, k=self.k, weighted=self.weighted, own=own), target)

    def _positions(self) -> Int[np.ndarray, " spot"]:
        """Library position of every spot; -1 for those that are not in it."""
        positions = np.full(len(self.spots), -1, dtype=np.int64)
        positions[self.rows] = np.arange(len(self.rows))
        return positions


class ContrastiveModule(lightning.LightningModule):
    """Trains two towers; the validation score is of retrieval from the training spots."""

    def __init__(self, towers: TwoTowers, library: Library, optimiser: Optimiser) -> None:
        super().__init__()
        self.towers, self.library, self.optimiser = towers, library, optimiser
        self._validation: list[SpotBatch] = []

    def training_step(self, batch: SpotBatch, batch_index: int) -> Tensor:
        """One step; logs the loss beside its value at chance, ln(batch)."""
        images = self.towers.images(batch.inputs.features)
        loss = self.towers.loss(images, self.towers.embed_spots(batch.target, batch.inputs.grid))
        size = len(batch.target)
        logged = {"train/clip": loss, "train/clip_chance": torch.tensor(float(size)).log()}
        self.log_dict(logged, on_epoch=True, on_step=False, batch_size=size)
        return loss

    def validation_step(self, batch: SpotBatch, batch_index: int) -> None:
        """Gathers the validation spots; retrieval follows once all are there."""
        self._validation.append(batch)

    def on_validation_epoch_end(self) -> None:
        """The score that stops training and picks the epoch."""
        features = torch.cat([batch.inputs.features for batch in self._validation]).cpu().numpy()
        target, section = (
            torch.cat([getattr(batch, name) for batch in self._validation]).cpu().numpy()
            for name in ("target", "section")
        )
        self._validation.clear()
        self.log(VALIDATION_PCC, section_pcc(self.library.predict(self.towers, features), target, section))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The method's own."""
        return self.optimiser(self.parameters())


def fit_retrieval(
    task: Task, build: Callable[[], TwoTowers], optimiser: Optimiser, *, k: int, weighted: bool, name: str
) -> Trained:
    """Trains on batches of random spots and predicts by retrieval from the training rows.

    Args:
        task: the trial.
        build: makes the towers, under the trial's seed.
        optimiser: of the parameters.
        k: matches of a query.
        weighted: by 1 / (L1 distance)^2, else equally.
        name: of the method, for errors.
    """
    spots = task.data.train
    grid = spot_grid(spots)
    library = Library(spots, task.rows, grid, k=k, weighted=weighted)
    with seeded(task):
        module = ContrastiveModule(build(), library, optimiser)
        best = learn(
            task,
            module,
            row_loader(spots, task.rows, grid, batch_size=task.config.train.batch_size, seed=task.seed),
            row_loader(spots, task.validation_rows, grid, batch_size=4096, seed=None),
            name=name,
        )
        train = library.predict(module.towers, spots.features, own_rows=np.arange(len(spots)))
        test = library.predict(module.towers, task.data.test.features)
    encoder = None if task.pixels else module.towers.images
    return Trained(train, test, best.score, best_epoch=best.epoch, curves=tuple(best.curves), encoder=encoder)
