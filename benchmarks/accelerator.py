"""All stages on a device: throughput, peak memory, model FLOP/s beside a large product's, and equality with the CPU.

    python benchmarks/accelerator.py --device cuda           # some minutes; --device mps, or cpu
    python benchmarks/accelerator.py --device cpu --small    # seconds: shows that it runs
    python benchmarks/accelerator.py --device cuda --rates gpu.json --encoder uni    # and rates for `hage plan`

Each stage is the library's own function, the one that the command calls, on made-up inputs. It runs once under torch's
``FlopCounterMode`` (which warms it up too) and then for the clock, reading and copies to and from the device included.
The products of the last column but one are timed on the same device at the same precision: no list of cards. A ratio
above 1 would say that the stage's own products are of shapes that the device likes better than the large one.

The last column is the relative norm of the difference from the CPU's float32 numbers, on the small inputs; where it is
above the tolerance of its stage and precision the line says so and the exit status is 1. On ``--device cpu`` float32
is compared with itself.

``--rates`` then measures what `hage plan --rates` reads, by the commands themselves as `hage plan --measure` does:
every stage of pretraining, PCAM's probes and TCGA-BRCA's bags, at these recipes' settings and the encoder named.
"""

import argparse
import dataclasses
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kept
import numpy as np
import torch
from accelerator_stages import ROUNDED, SMALL, STAGES, Sizes, Stage
from torch.utils.flop_counter import FlopCounterMode

from hage_transfer.door.measure import measure
from hage_transfer.door.plan import stages_of_config
from hage_transfer.running.devices import resolve_device

TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 3e-2}
"""Relative norm; steps of Adam make more of a rounding than a forward pass does."""
TRAINED = ("pretrain", "mil")
STUDIES = {
    "pretrain/her2st": {"sections": 32, "spots": 360, "patients": 7},
    "probes/pcam": {"patches": 327_680, "n_encoders": 35},
    "mil/tcga_brca": {"slides": 1000, "tiles": 4000},
}


def synchronise(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device != "cpu":
        torch.accelerator.synchronize()


def product_rate(device: str, precision: str, n: int) -> float:
    """FLOP a second of a square product at its best of five."""
    left = torch.randn(n, n, device=device, dtype=getattr(torch, precision))
    best = float("inf")
    for _ in range(6):
        synchronise(device)
        start = time.perf_counter()
        left @ left
        synchronise(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


class Untold:
    """In place of the counter's tracker of modules, which fails on weights under inference mode."""

    parents = ("Global",)

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *fault: object) -> None:
        """Nothing."""


def counted(stage: Stage, sizes: Sizes, *given: Any) -> int:
    """FLOPs of a stage; it warms up with it."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = Untold()  # type: ignore[assignment]
    with counter:
        _, n = stage(dataclasses.replace(sizes, one_thread=True), *given)
    return counter.get_total_flops() * (sizes.images // n if stage in ROUNDED[:2] else 1)


def peak_mib(device: str) -> str:
    """Of the device's memory since it was last reset."""
    if device.startswith("cuda"):
        return f"{torch.cuda.max_memory_allocated() / 2**20:.0f}"
    return f"{torch.mps.driver_allocated_memory() / 2**20:.0f}" if device == "mps" else "-"


def line(stage: Stage, device: str, precision: str, sizes: Sizes, folder: Path, peak: float) -> tuple[str, bool]:
    """A row of the table, and whether its numbers are the CPU's."""
    wanted = stage(SMALL, "cpu", "float32", folder)[0]
    found = stage(SMALL, device, precision, folder)[0]
    apart = float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    limit = TOLERANCE[precision] * (3 if stage.__name__ in TRAINED else 1)
    flops = counted(stage, sizes, device, precision, folder)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    synchronise(device)
    start = time.perf_counter()
    _, items = stage(sizes, device, precision, folder)
    synchronise(device)
    seconds = time.perf_counter() - start
    fits = apart <= limit
    if sizes != SMALL:
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
        what = f"{stage.__name__}: its FLOP/s are so many times those of a large product"
        kept.keep("accelerator", [flops / seconds / peak], what=what, setting=f"{name}, {precision}")
    rate, said = flops / seconds, f"{apart:.1e} of {limit:.0e}{'' if fits else ' MISMATCH'}"
    cells = [stage.__name__, precision, f"{items / seconds:.1f}", peak_mib(device), f"{rate / 1e9:.3g}"]
    return "| " + " | ".join([*cells, f"{rate / peak:.3f}", said]) + " |", fits


def write_rates(path: Path, device: str, encoder: str, wanted: list[str]) -> None:
    """What `hage plan --rates` reads, of some stages (none: all) of three studies."""
    every = [stages_of_config(name, {"encoder.name": encoder}, amounts) for name, amounts in STUDIES.items()]
    stages = {one.name: one for stages in every for one in stages if one.name in wanted or not wanted}
    measure(list(stages.values()), device=device, told=lambda name: print(f"rates of {name}", flush=True)).save(path)


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 1 where a number is not the CPU's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cuda, cuda:1, mps, cpu, or auto")
    parser.add_argument(
        "--small", action="store_true", help="small inputs: shows that it runs, measures nothing (not --rates)"
    )
    parser.add_argument("--stages", nargs="*", default=[one.__name__ for one in STAGES], help="some of them")
    parser.add_argument("--rates", type=Path, help="also measure what `hage plan` reads, and write it to this file")
    parser.add_argument("--encoder", default="embedded", help="of these rates")
    parser.add_argument("--rates-of", nargs="*", default=[], help="some stages of the plan; left out: all")
    options = parser.parse_args(arguments)
    logging.getLogger("hage_transfer").setLevel(logging.ERROR)
    device, sizes = resolve_device(options.device), SMALL if options.small else Sizes()
    precisions = ["float32", "bfloat16", *([] if device == "cpu" else ["float16"])]
    peaks = {one: product_rate(device, one, sizes.product) for one in precisions}
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(f"{name}, torch {torch.__version__}; a product of {sizes.product} x {sizes.product}:", end=" ")
    print(", ".join(f"{one} {rate / 1e9:.0f} GFLOP/s" for one, rate in peaks.items()))
    print("items: images (encode), spots (pretrain, embed, predict), rows x folds (probe), tiles x epochs (mil), tiles")
    if options.small:
        print("small inputs: this shows that all runs and is near the CPU's float32; the speeds below measure nothing")
    print("\n| stage | precision | items a second | peak MiB | GFLOP/s | of the product's | apart from the CPU's |")
    print("|---|---|---:|---:|---:|---:|---|")
    all_fit = True
    with tempfile.TemporaryDirectory() as folder:
        for stage in (one for one in STAGES if one.__name__ in options.stages):
            for precision in precisions if stage in ROUNDED else ["float32"]:
                text, fits = line(stage, device, precision, sizes, Path(folder), peaks[precision])
                print(text, flush=True)
                all_fit &= fits
    if options.rates is not None:
        write_rates(options.rates, device, options.encoder, options.rates_of)
    return 0 if all_fit else 1


if __name__ == "__main__":
    sys.exit(main())
