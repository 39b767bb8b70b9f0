"""A training step of AB-MIL, all folds together, against the time of its own matrix products alone.

    OMP_NUM_THREADS=1 python benchmarks/mil_step.py --work FOLDER                           # large bags
    OMP_NUM_THREADS=1 python benchmarks/mil_step.py --work FOLDER --bags 40 --tiles 170     # small ones

The step is the product's own: a bag read from memory, its draws, forward, loss, backward, Adam, as `hage mil` runs them
on one thread with CLAM's sizes, five folds and every tile. The products are those of the step, forward and backward,
each of all rows at once, recorded in a visit that is not timed, and made again after each timed one. Times are those of
a core.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kept
import mil_folds
import mil_small_bags
import torch
from own_products import RecordProducts

from hage_transfer.mil import train
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.fold_stack import FoldStack
from hage_transfer.mil.models import layers
from hage_transfer.running.memory import keep_freed_memory

WHOLE = mock.patch.object(layers, "blocks", lambda rows: iter([(slice(None), slice(0, None))]))
"""Inside, a step's products are of all folds and rows at once, not of a block each."""


class Alternate:
    """Times visits from the end of one to the end of the next, and the products of each after it."""

    def __init__(self) -> None:
        self.products: dict[int, RecordProducts] = {}
        self.steps: list[float] = []
        self.alone: list[float] = []
        self._add, self._n_folds, self._since = FoldStack.add_gradients, 0, time.process_time()
        self._is_recorded = False

    def add_gradients(self, stack: FoldStack, folds: list[int], *args: Any) -> None:
        """Of the product; records the first visit by so many folds."""
        self._n_folds, self._is_recorded = len(folds), len(folds) not in self.products
        if self._is_recorded:
            self.products[len(folds)] = RecordProducts()
            with WHOLE, self.products[len(folds)]:
                self._add(stack, folds, *args)
        else:
            self._add(stack, folds, *args)

    def tick(self, share: float) -> None:
        """After a visit and its step of Adam."""
        now = time.process_time()
        if not self._is_recorded:
            self.steps.append(now - self._since)
            for product in self.products[self._n_folds].products:
                product()
            self.alone.append(time.process_time() - now)
        self._since = time.process_time()


def main() -> None:
    """Trains on made-up bags and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the bags")
    parser.add_argument("--bags", type=int, default=20)
    parser.add_argument("--tiles", type=int, default=3000, help="of each bag")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--form", choices=mil_folds.FORMS, default="clam")
    options = parser.parse_args()
    options.bags_of, n_tiles, options.tiles = None, options.tiles, (options.tiles, options.tiles)
    torch.set_num_threads(1)
    keep_freed_memory(everything=True)
    mil_folds.make_bags(options)
    bags, labels = mil_small_bags.read(options)
    for bag in range(options.bags):
        bags.load(bag)
    alternate = Alternate()
    FoldStack.add_gradients = lambda stack, *args: alternate.add_gradients(stack, *args)  # type: ignore[method-assign]
    train.tick = alternate.tick
    train.train_folds(
        bags,
        labels,
        [train.FoldBags(rows, rows[:0]) for rows, _, _ in mil_folds.folds_of(labels)],
        n_classes=2,
        model=MilModelSettings(**mil_folds.FORMS[options.form]),
        options=MilTrainSettings(epochs=options.epochs, validation=0),
        seed=0,
    )
    ratios = [step / alone for step, alone in zip(alternate.steps, alternate.alone, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"{options.form}, {n_tiles} tiles: a visit {1e3 * statistics.median(alternate.steps):.1f} ms, its products "
        f"{1e3 * statistics.median(alternate.alone):.1f} ms, {middle:.3f} of them ({low:.3f} to {high:.3f}), "
        f"{len(ratios)} visits"
    )
    kept.keep(
        "mil_step",
        [1 / ratio for ratio in ratios],
        what="of a training step of AB-MIL, the share that its own products take",
        setting=f"{options.form}, bags of {n_tiles} tiles, 5 folds, 1 thread",
    )


if __name__ == "__main__":
    main()
