"""Training of bag classifiers: all folds together from one pass over the bags, each with its own early stop.

In every epoch there is one order of all bags; a fold passes over those that it does not train on. A bag is read once
and, where every bag makes a step, multiplied once for all folds that train on it; where several make one, those are
multiplied together for each fold. Folds share nothing else (weights, gradients, Adam's state, early stop are each
fold's own), so each comes out as if it had been trained alone (the tests say so).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hage_transfer.errors import SplitError
from hage_transfer.mil.bags import BagSet
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.criterion import ClassCriterion, Criterion, TargetCriterion
from hage_transfer.mil.draws import Dropout, epoch_order, generator_of, kept_tiles, n_kept_tiles, seed_of
from hage_transfer.mil.fold_stack import FoldStack
from hage_transfer.mil.new_stack import class_weights, new_stack
from hage_transfer.mil.own_class import MakeClassifier
from hage_transfer.mil.progress_file import Progress, ProgressFile
from hage_transfer.mil.stream import stream
from hage_transfer.mil.visits import Part, Visit, parts_of_epoch
from hage_transfer.running.devices import deterministic
from hage_transfer.running.ticks import share_of_epochs, tick
from hage_transfer.targets.base import Target

_OF_TILES = 1
"""Tells the draw of a visit's tiles from that of its dropout."""


@dataclass(frozen=True)
class FoldBags:
    """Bags (places in the bag set) of one fold: training, and validation for early stop, which may be empty."""

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]


@dataclass(frozen=True)
class TrainedFolds:
    """Trained classifiers of all folds.

    Attributes:
        stack: with each fold's weights of lowest validation loss (the last where there is no validation).
        epochs: how many each fold ran.
        best_epochs: whose weights these are, from 0.
        device: where they are.
        criterion: what makes scores of their outputs.
    """

    stack: FoldStack
    epochs: tuple[int, ...]
    best_epochs: tuple[int, ...]
    device: str
    criterion: Criterion

    def model(self, fold: int) -> nn.Module:
        """A fold's classifier of scaled features, in eval mode."""
        return self.stack.models[fold].eval()

    def probabilities(
        self, bags: BagSet, rows: Sequence[Int[np.ndarray, " rows"]]
    ) -> list[Float[np.ndarray, "rows class"]]:
        """Class probabilities (or scores of the target) of some bags of each fold."""
        return [self.criterion.scores(fold, found) for fold, found in enumerate(self.outputs(bags, rows))]

    def outputs(self, bags: BagSet, rows: Sequence[Int[np.ndarray, " rows"]]) -> list[Float[np.ndarray, "rows output"]]:
        """What the networks put out; a bag that several folds want is read once."""
        wanted = _wanted(rows, range(len(rows)))
        found: list[dict[int, np.ndarray]] = [{} for _ in rows]
        for bag, tiles, coords in stream(bags, sorted(wanted), device=self.device, with_coords=self.stack.needs_coords):
            logits = self.stack.logits(wanted[bag], tiles, coords).cpu().numpy()
            for place, fold in enumerate(wanted[bag]):
                found[fold][bag] = logits[place]
        return [np.stack([found[fold][bag] for bag in one.tolist()]) for fold, one in enumerate(rows)]


def train_folds(
    bags: BagSet,
    labels: Int[np.ndarray, " bag"],
    folds: Sequence[FoldBags],
    *,
    n_classes: int,
    model: MilModelSettings,
    options: MilTrainSettings,
    seed: int,
    device: str = "cpu",
    positive: int | None = None,
    own: MakeClassifier | None = None,
    progress_path: Path | None = None,
    target: Target | None = None,
    values: Float[np.ndarray, "bag value"] | None = None,
) -> TrainedFolds:
    """Trains a classifier for every fold; stops each early and picks its weights by the loss on its validation bags.

    As in CLAM: Adam, cross-entropy; after ``min_epochs``, stop once ``patience`` epochs went by without a lower
    validation loss. A fold without validation bags runs to ``epochs``. Scaling is fitted on the tiles of a fold's
    training bags alone. The global random state is left as it was found; everything random follows from ``seed``.
    Deviation: CLAM scales no features, stops after ``min_epochs + 2`` epochs at the earliest (its count begins at 0 and
    must exceed 50), and takes an equal validation loss for a better one.

    Args:
        bags: of all folds.
        labels: class of each bag.
        folds: which bags each trains on.
        n_classes: of the set.
        model: kind and sizes.
        options: optimisation.
        seed: of weights, order, dropout.
        device: of the products.
        positive: of two classes, the one that max pooling looks for.
        own: a class of the user's own, where the kind is one.
        progress_path: file that a killed training resumes from; None: none is kept.
        target: what is learnt in place of classes, with as many outputs as it has; None: the classes.
        values: of the target, of each bag.

    Raises:
        SplitError: a fold without a bag to train on.
        DataError: a bag that cannot be read, or that holds NaN.
    """
    for number, fold in enumerate(folds):
        if not len(fold.train):
            raise SplitError(
                f"fold {number} has no slide to train on; fewer folds (split.folds) or less validation "
                "(train.validation)"
            )
    rows = [fold.train for fold in folds]
    stack = new_stack(bags, rows, n_classes, model, options, seed=seed, device=device, positive=positive, own=own)
    criterion: Criterion
    if target is None or values is None:
        weights = torch.stack([class_weights(labels[train], n_classes, how=options.class_weights) for train in rows])
        criterion = ClassCriterion(labels, weights)
    else:
        criterion = TargetCriterion(target, values, rows, device=device)
    stack.memory = criterion.memory
    file = ProgressFile(progress_path, every_s=options.checkpoint_s)
    progress = file.restore(stack)
    training = _Training(
        bags=bags,
        criterion=criterion,
        folds=folds,
        options=options,
        dropout=model.dropout,
        seed=seed,
        device=device,
        stack=stack,
    )
    while progress.epoch < options.epochs and not all(fold.is_done for fold in progress.folds):
        with deterministic(options.deterministic):
            training.run_epoch(progress, file)
        training.judge(progress)
        progress.epoch, progress.position = progress.epoch + 1, 0
        file.save_if_due(progress, stack)
    for place, one in enumerate(progress.folds):
        if one.best:
            stack.set_weights(place, one.best)
    best = tuple(one.best_epoch if one.best else one.epochs - 1 for one in progress.folds)
    trained = TrainedFolds(stack, tuple(one.epochs for one in progress.folds), best, device, criterion)
    if target is not None and target.looks_around:
        found = trained.outputs(bags, rows)
        criterion.settle(lambda fold: (rows[fold], found[fold]))
    return trained


class _Training:
    """What the epochs of one training have in common."""

    def __init__(
        self,
        *,
        bags: BagSet,
        criterion: Criterion,
        folds: Sequence[FoldBags],
        options: MilTrainSettings,
        dropout: float,
        seed: int,
        device: str,
        stack: FoldStack,
    ) -> None:
        self.bags, self.criterion, self.folds, self.options = bags, criterion, folds, options
        self.dropout, self.seed, self.device, self.stack = dropout, seed, device, stack

    def run_epoch(self, progress: Progress, file: ProgressFile) -> None:
        """Trains the folds that are not done on the bags that the epoch has left."""
        active = [fold for fold, one in enumerate(progress.folds) if not one.is_done]
        wanted = _wanted([fold.train for fold in self.folds], active)
        order = epoch_order(self.bags.slides, seed=self.seed, epoch=progress.epoch)
        order = [bag for bag in order if bag in wanted]
        parts = parts_of_epoch(order, wanted, self._n_kept(order), bags_per_step=self.options.bags_per_step)
        last = {bag: place for place, now in enumerate(parts) for part in now for bag in part.bags}
        again = [bag for bag in order[: progress.position] if last[bag] >= progress.position]
        held: dict[int, Visit] = {}
        for bag, tiles, coords in stream(
            self.bags,
            again + order[progress.position :],
            device=self.device,
            rows=partial(self._rows, progress.epoch),
            with_coords=self.stack.needs_coords,
        ):
            held[bag] = self._visit(progress.epoch, bag, tiles, coords)
            if bag != order[progress.position]:
                continue  # waits for its step since before the training was resumed
            due = [fold for part in parts[progress.position] for fold in self._take(part, held)]
            if due:
                self.stack.step(due)
            progress.position += 1
            held = {one: visit for one, visit in held.items() if last[one] >= progress.position}
            tick(self._share(progress, len(order)))
            file.save_if_due(progress, self.stack)

    def _n_kept(self, bags: Sequence[int]) -> dict[int, int]:
        """Tiles of a visit of each bag."""
        dropped, most = self.options.instance_dropout, self.options.tiles_per_visit
        n_tiles = self.bags.n_tiles
        return {bag: n_kept_tiles(int(n_tiles[bag]), share_dropped=dropped, most=most) for bag in bags}

    def _rows(self, epoch: int, bag: int) -> Int[np.ndarray, " kept"] | None:
        """The tiles that a visit trains on: the same for all folds."""
        generator = generator_of(self.seed, epoch, self.bags.slides[bag], _OF_TILES)
        return kept_tiles(int(self.bags.n_tiles[bag]), self._n_kept([bag])[bag], generator=generator)

    def _visit(self, epoch: int, bag: int, tiles: Tensor, coords: Tensor | None) -> Visit:
        """A bag with its draws."""
        seed = seed_of(self.seed, epoch, self.bags.slides[bag])
        return Visit(
            tiles=tiles,
            coords=coords,
            target=self.criterion.label(bag),
            dropout=Dropout.draw(self.stack.dropout_widths, len(tiles), p=self.dropout, seed=seed),
            seed=seed,
            loss=self.criterion.of_bag(bag),
        )

    def _take(self, part: Part, visits: dict[int, Visit]) -> list[int]:
        """Adds the gradients of some bags to those of some folds; the folds, where these complete their step."""
        weights = [[self.criterion.weight(fold, bag) / part.step_size for bag in part.bags] for fold in part.folds]
        loss_weight = torch.tensor(weights, device=self.stack.mean.device)
        self.stack.add_gradients(part.folds, [visits[bag] for bag in part.bags], loss_weight)
        return part.folds if part.is_last else []

    def _share(self, progress: Progress, n_bags: int) -> float:
        """How much of the training is over: its slowest fold may stop ``patience`` epochs after its best one."""
        going = [number for number, one in enumerate(progress.folds) if not one.is_done]
        best = max(progress.folds[number].best_epoch for number in going)
        soonest = max(self.options.min_epochs, best + 1 + self.options.patience)
        if any(not len(self.folds[number].validation) for number in going):
            soonest = self.options.epochs
        done = progress.epoch + progress.position / n_bags
        return share_of_epochs(done, soonest=soonest, most=self.options.epochs)

    def judge(self, progress: Progress) -> None:
        """Validation losses after an epoch: which folds are at their best, and which stop."""
        active = [fold for fold, one in enumerate(progress.folds) if not one.is_done]
        losses = self._validation_losses(active)
        for fold in active:
            one = progress.folds[fold]
            one.epochs = progress.epoch + 1
            if fold not in losses:
                continue
            if one.best_loss is None or losses[fold] < one.best_loss:
                one.best_loss, one.best_epoch, one.best = losses[fold], progress.epoch, self.stack.weights_of(fold)
            elif one.epochs >= self.options.min_epochs and progress.epoch - one.best_epoch >= self.options.patience:
                one.is_done = True

    def _validation_losses(self, active: Sequence[int]) -> dict[int, float]:
        wanted = _wanted([fold.validation for fold in self.folds], active)
        outputs: dict[int, list[Tensor]] = {}
        for bag, tiles, coords in stream(
            self.bags, sorted(wanted), device=self.device, with_coords=self.stack.needs_coords
        ):
            logits = self.stack.logits(wanted[bag], tiles, coords)
            for fold, own in zip(wanted[bag], logits, strict=True):
                outputs.setdefault(fold, []).append(own)
        return {
            fold: self.criterion.of_set(fold, sorted(self.folds[fold].validation.tolist()), torch.stack(found).cpu())
            for fold, found in outputs.items()
        }


def _wanted(rows: Sequence[Int[np.ndarray, " rows"]], folds: Sequence[int]) -> dict[int, list[int]]:
    """Which of some folds want each bag."""
    wanted: dict[int, list[int]] = {}
    for fold in folds:
        for bag in rows[fold].tolist():
            wanted.setdefault(bag, []).append(fold)
    return wanted
