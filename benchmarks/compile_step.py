"""Steps and forward passes as they are and under ``torch.compile``, taking turns.

    OMP_NUM_THREADS=1 python benchmarks/compile_step.py
    python benchmarks/compile_step.py --device cuda --mode reduce-overhead    # CUDA graphs

Each case is the library's own step (loss, gradients, Adam) or forward pass on made-up inputs of the sizes of
pretrain_step.py, mil_small_bags.py, mil_folds.py and probe_folds.py; both sides begin with equal weights and see the
same batches. On the CPU the time is that of the core. ``compiling`` is what the first passes over all batches took
more than the same passes as they are; ``steps to win`` is how many pay for it; ``apart`` is the largest relative
difference between what both put out after the same steps (losses, features). ``graphs`` were compiled, and ended at so
many kinds of ``breaks``. The last rows are pretraining's step by two other forms of Adam.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

import kept
import numpy as np
import torch
from accelerator_stages import untrained
from pretrain_step import synthetic_spots
from torch import Tensor
from torch._dynamo.utils import counters

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders.registry import load_encoder
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.mil import fold_stack
from hage_transfer.mil.config import MilModelSettings
from hage_transfer.mil.draws import Dropout
from hage_transfer.mil.models import build_model
from hage_transfer.mil.visits import Visit
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.config import LossSettings, TrainSettings
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.spot_batches import SpotDataset, training_batches
from hage_transfer.probes import linear
from hage_transfer.probes.moments import Moments

Step = Callable[[int], Tensor]
"""Does the step of this number; what it came to."""
Compiled = Callable[[Callable[..., Any]], Callable[..., Any]]
GENES, WIDTH, FOLDS, KINDS = 785, 1024, 5, 8


def pretrain(device: str, compiled: Compiled, **adam: bool) -> Step:
    """HAGE's step, a batch of 128; the last one of an epoch is shorter."""
    torch.manual_seed(0)
    encoder = GeneInformedEncoder(torch.randn(GENES, 200), feature_dim=WIDTH, embed_dim=WIDTH, n_heads=8)
    settings = TrainSettings(batch_size=128)
    module = HageModule(encoder, n_genes=GENES, loss=LossSettings(), train=settings).to(device)
    rows = np.arange(7 * 128 + 50)
    data = SpotDataset(synthetic_spots(len(rows), n_features=WIDTH, n_genes=GENES), rows, rows % 60)
    batches = list(training_batches(data, batch_size=128, seed=0))
    batches = [type(one)(*(None if part is None else part.to(device) for part in one)) for one in batches]
    loss_of = compiled(lambda batch: module.total(module.terms(module.embed(batch))))
    optimiser = module.configure_optimizers()["optimizer"]  # type: ignore[call-overload,index]
    if adam:
        optimiser = torch.optim.Adam(module.parameters(), lr=settings.learning_rate, **adam)

    def step(number: int) -> Tensor:
        optimiser.zero_grad()
        loss = loss_of(batches[number % len(batches)])
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def mil(device: str, compiled: Compiled, tiles: tuple[int, ...]) -> Step:
    """AB-MIL's step of five folds on one bag."""
    torch.manual_seed(0)
    sizes = MilModelSettings().sizes(positive=None)
    models = [build_model(feature_dim=WIDTH, n_classes=2, own=None, **sizes) for _ in range(FOLDS)]
    still = torch.zeros(FOLDS, WIDTH, device=device), torch.ones(FOLDS, WIDTH, device=device)
    stack = fold_stack.FoldStack(models, *still, learning_rate=2e-4, weight_decay=1e-5)
    bags = [torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(n)).to(device) for n in tiles]
    backward, folds = compiled(BACKWARD), list(range(FOLDS))

    def step(number: int) -> Tensor:
        fold_stack.backward = backward
        tiles = bags[number % len(bags)]
        dropout = Dropout.draw(stack.dropout_widths, len(tiles), p=0.25, seed=number)
        visit = Visit(tiles=tiles, coords=None, target=number % 2, dropout=dropout, seed=0, loss=None)
        stack.add_gradients(folds, [visit], torch.ones(FOLDS, 1, device=device))
        stack.step(folds)
        return stack._values[next(iter(stack._values))].mean()  # its weights tell losses apart

    return step


def probe(device: str, compiled: Compiled) -> Step:
    """The linear probe's step of five folds, a batch of 1,024."""
    moments = (torch.zeros(WIDTH), torch.zeros(FOLDS, WIDTH), torch.ones(FOLDS, WIDTH))
    heads = linear._Heads(FOLDS, 2, Moments(*(one.to(device) for one in moments)))
    optimiser = heads.optimiser(learning_rate=1e-3, weight_decay=0.01)
    rows = torch.randn(KINDS, 1024, WIDTH, generator=torch.Generator().manual_seed(0)).to(device)
    kept, labels = torch.ones(1024, FOLDS, dtype=torch.bool, device=device), np.arange(1024) % 2
    slopes = linear._class_slopes(labels)
    set_gradients = compiled(heads.set_gradients)
    every = np.arange(1024)

    def step(number: int) -> Tensor:
        set_gradients(rows[number % KINDS], kept, lambda *batch: slopes(every, *batch))
        optimiser.step()
        return heads._weights.abs().mean()

    return step


def encode(device: str, compiled: Compiled, name: str) -> Step:
    """Four images (on a CPU what one core is given) through a frozen encoder in PyTorch."""
    if name == "embedded":
        encoder = load_encoder(EncoderSettings(runtime="torch"), device=device)
        assert isinstance(encoder, TorchEncoder)
    else:
        encoder = untrained(name, device, "float32")
    encoder._forward = compiled(encoder._forward)
    n = encoder.images_per_call or 256
    images = np.random.default_rng(0).integers(0, 255, (KINDS, n, 224, 224, 3), dtype=np.uint8)
    return lambda number: torch.from_numpy(encoder.begin(images[number % KINDS])())


@dataclass(frozen=True)
class Case:
    """Something that is done many times.

    Attributes:
        make: a fresh one, equal to any other.
        shapes: steps until all were seen twice.
    """

    make: Callable[[str, Compiled], Step]
    shapes: int = 3


BACKWARD = fold_stack.backward
SMALL, LARGE = tuple(range(120, 220, 10)), (4000, 6000, 8000, 12000)
CASES = {
    "pretrain": Case(pretrain, 9),
    "mil 120 to 210 tiles": Case(lambda device, compiled: mil(device, compiled, SMALL), 2 * len(SMALL)),
    "mil 4,000 to 12,000 tiles": Case(lambda device, compiled: mil(device, compiled, LARGE), 2 * len(LARGE)),
    "probe": Case(probe),
    "encode embedded": Case(lambda device, compiled: encode(device, compiled, "embedded")),
    "encode vit_base": Case(lambda device, compiled: encode(device, compiled, "vit_base_patch16_224")),
}
ADAMS: dict[str, dict[str, bool]] = {"foreach": {"foreach": True}, "one by one": {"foreach": False}}


def seconds(step: Step, number: int, device: str) -> tuple[float, Tensor]:
    """What a step took, of the core on a CPU, and came to."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    began = clock()
    found = step(number)
    if device != "cpu":
        torch.accelerator.synchronize()
    return clock() - began, found.cpu()


def compared(
    plain: Step, other: Step, device: str, *, warm: int, steps: int
) -> tuple[float, list[tuple[float, float]], float]:
    """Seconds that the first ``warm`` steps took more by the other, both sides' later ones, and how far apart."""
    more, times, apart = 0.0, [], 0.0
    for number in range(warm + steps):
        (ours, found), (theirs, as_well) = (seconds(one, number, device) for one in (plain, other))
        if number < warm:
            more += theirs - ours
        else:
            times.append((ours, theirs))
        apart = max(apart, float((found - as_well).norm() / found.norm()))
    return more, times, apart


def row(name: str, case: Case, compiled: Compiled, options: argparse.Namespace) -> str:
    """A line of the table."""
    torch._dynamo.reset()
    counters.clear()
    sides = case.make(options.device, lambda function: function), case.make(options.device, compiled)
    more, times, apart = compared(*sides, options.device, warm=case.shapes, steps=options.steps)
    ours, theirs = (statistics.median(side) for side in zip(*times, strict=True))
    ratios = [one / other for one, other in times]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    kept.keep(
        "compile_step",
        ratios,
        what=f"{name}, compiled, is so many times as fast as it is",
        setting=f"{options.device}, {torch.get_num_threads()} threads, {options.mode}",
    )
    pays = f"{more / (ours - theirs):,.0f}" if ours > theirs else "never"
    graphs = counters["stats"]["unique_graphs"]
    return (
        f"| {name} | {1e3 * ours:.1f} | {1e3 * theirs:.1f} | {ratio:.2f} ({low:.2f} to {high:.2f}) | {more:.0f} | "
        f"{pays} | {graphs} | {len(counters['graph_break'])} | {apart:.0e} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--mode", default="default", help="of torch.compile; reduce-overhead: CUDA graphs")
    parser.add_argument("--dynamic", action="store_true", help="compile for any shape at once")
    parser.add_argument("--cases", nargs="+", default=[*CASES, "adam"], help="some of them")
    parser.add_argument("--steps", type=int, default=24, help="compared, after the first")
    options = parser.parse_args()
    keywords = {"mode": options.mode, "dynamic": True if options.dynamic else None}
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads, {keywords}")
    print("| case | ms | compiled | ratio (middle half) | compiling s | steps to win | graphs | breaks | apart |")
    print("|---|---:|---:|---|---:|---:|---:|---:|---:|")
    for name, case in CASES.items():
        if name in options.cases:
            print(row(name, case, lambda function: torch.compile(function, **keywords), options), flush=True)
    for name, adam in ADAMS.items() if "adam" in options.cases else ():
        sides = pretrain(options.device, lambda one: one), pretrain(options.device, lambda one: one, **adam)
        _, times, apart = compared(*sides, options.device, warm=3, steps=options.steps)
        ratio = statistics.median(one / other for one, other in times)
        print(f"| pretrain, Adam {name} in place of fused | | | {ratio:.2f} | | | | | {apart:.0e} |", flush=True)


if __name__ == "__main__":
    main()
