"""A HAGE training step against the time of its own matrix products alone.

    OMP_NUM_THREADS=1 python benchmarks/pretrain_step.py
    OMP_NUM_THREADS=1 python benchmarks/pretrain_step.py --profile

The step is the product's own: batches gathered from the fold's arrays, forward, loss, backward, Adam, logging, all
through Lightning, as `hage pretrain` runs it on one thread. The products are those that this step makes, forward and
backward, recorded by their shapes while it runs and then made again on memory laid out alike, with nothing around
them: what no implementation of the same mathematics can go below. Both take turns in this process, step by step.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

import kept
import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from own_products import RecordProducts

from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain import fit as fit_module
from hage_transfer.pretrain.config import LossSettings, TrainSettings
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.spot_batches import SpotDataset, training_batches, validation_batches


class Alternate(Callback):
    """Times each step of the trainer, and after each the products alone."""

    def __init__(self, n_warm: int) -> None:
        self.recorder, self.n_warm = RecordProducts(), n_warm
        self.steps: list[float] = []
        self.products: list[float] = []
        self._since = 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_index: int) -> None:
        """Records the first step; the clock of a later one runs from the end of the one before."""
        if trainer.global_step == 0:
            self.recorder.__enter__()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        """Stops the clock, makes the products, and starts it again: loading the next batch is part of a step."""
        now = time.perf_counter()
        if trainer.global_step == 1:
            self.recorder.__exit__(None, None, None)
        elif trainer.global_step > self.n_warm and batch_index > 0:
            self.steps.append(now - self._since)
            start = time.perf_counter()
            for product in self.recorder.products:
                product()
            self.products.append(time.perf_counter() - start)
        self._since = time.perf_counter()


def synthetic_spots(n_spots: int, *, n_features: int, n_genes: int) -> Spots:
    """Spots of three sections."""
    rng = np.random.default_rng(0)
    return Spots(
        features=rng.standard_normal((n_spots, n_features), dtype=np.float32),
        counts=np.zeros((n_spots, n_genes), dtype=np.float32),
        target=rng.random((n_spots, n_genes), dtype=np.float32),
        coords_px=np.zeros((n_spots, 2)),
        section=np.arange(n_spots) % 3,
        section_names=("A", "B", "C"),
        patient=("A", "B", "C"),
        spot_names=(),
    )


@contextmanager
def callbacks(extra: Callback) -> Iterator[None]:
    """Adds a callback to the trainer that ``fit`` makes."""
    make = lightning.Trainer

    def with_extra(**arguments: Any) -> lightning.Trainer:
        return make(**{**arguments, "callbacks": [*arguments["callbacks"], extra]})

    fit_module.lightning.Trainer = with_extra  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        fit_module.lightning.Trainer = make  # type: ignore[misc]


def main() -> None:
    """Trains on synthetic spots and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--genes", type=int, default=785)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--embed", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=16, help="steps of an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print where a step's time goes, by operation")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    torch.manual_seed(0)
    n_train = options.batch * options.steps
    spots = synthetic_spots(n_train + 64, n_features=options.features, n_genes=options.genes)
    encoder = GeneInformedEncoder(
        torch.randn(options.genes, 200), feature_dim=options.features, embed_dim=options.embed, n_heads=8
    )
    settings = TrainSettings(epochs=options.epochs, patience=options.epochs, batch_size=options.batch)
    module = HageModule(encoder, n_genes=options.genes, loss=LossSettings(), train=settings)
    rows = np.arange(n_train + 64)
    train = SpotDataset(spots, rows[:n_train], rows[:n_train] % 60)
    validation = SpotDataset(spots, rows[n_train:], rows[n_train:] * 0)
    alternate = Alternate(n_warm=3)
    with tempfile.TemporaryDirectory() as folder, callbacks(alternate), profiled(options.profile):
        fit_module.fit(
            module,
            training_batches(train, batch_size=options.batch, seed=0),
            validation_batches(validation),
            settings=settings,
            device="cpu",
            tensorboard=Path(folder) / "curves",
        )
    report(alternate, options)


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    """Prints torch's profile of what is inside."""
    if not wanted:
        yield
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        yield
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=60))


def report(alternate: Alternate, options: argparse.Namespace) -> None:
    """Prints medians and their ratio, and the quartiles of the ratio step by step."""
    step, products = (statistics.median(values) for values in (alternate.steps, alternate.products))
    ratios = [one / other for one, other in zip(alternate.steps, alternate.products, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    recorded = alternate.recorder
    print(
        f"batch {options.batch}, genes {options.genes}, d {options.embed}, features {options.features}, "
        f"{torch.get_num_threads()} threads, {len(ratios)} pairs of steps"
    )
    print(f"step     {1e3 * step:8.1f} ms (median)")
    print(
        f"products {1e3 * products:8.1f} ms, {len(recorded.products)} of them, "
        f"{2e-9 * recorded.multiplications:.1f} GFLOP, {2e-9 * recorded.multiplications / products:.0f} GFLOP/s"
    )
    print(f"ratio    {step / products:8.2f} of the medians; {low:.2f} to {high:.2f} is the middle half step by step")
    kept.keep(
        "pretrain_step",
        [1 / ratio for ratio in ratios],
        what="of a training step, the share that its own products take",
        setting=f"batch {options.batch}, {options.genes} genes, {torch.get_num_threads()} threads",
    )


if __name__ == "__main__":
    main()
