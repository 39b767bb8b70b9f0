"""Five folds of AB-MIL together: time of a visit and peak memory by the size of the bag, up to 200,000 tiles.

    python benchmarks/mil_scaling.py --work FOLDER

CLAM's sizes (1,024 features, 512, 256, gated, dropout 0.25). For each size, two bags of as many tiles are written as
float16; a process of its own trains all five folds on both bags for one epoch, so that every bag is one visit. Time is
that of the training alone, reading included, by the clock and as time that its threads had a core; the moments of the
features are not taken. The last line fits a straight line to the time of cores: a start and a slope.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import kept
import numpy as np

FEATURES, FOLDS = 1024, 5


def main() -> None:
    """Prints a line for every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the bags")
    parser.add_argument("--tiles", type=int, nargs="+", default=(12_500, 25_000, 50_000, 100_000, 200_000))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--visit", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.visit:
        print(json.dumps(visit(options.work / str(options.visit), threads=options.threads)))
        return
    cores = []
    for n_tiles in options.tiles:
        make_bags(options.work / str(n_tiles), n_tiles)
        command = [sys.executable, __file__, "--work", str(options.work), "--threads", str(options.threads)]
        ran = subprocess.run([*command, "--visit", str(n_tiles)], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(ran.stderr)
        found = json.loads(ran.stdout)
        cores.append(found["cpu"])
        print(
            f"{n_tiles:>8} tiles: {found['seconds']:6.2f} s a visit of {FOLDS} folds, {found['cpu']:6.2f} s of cores, "
            f"{found['cpu'] / n_tiles * 1e6:5.1f} us a tile; peak {found['peak_gib']:.2f} GiB, of which a bag in "
            f"float32 is {n_tiles * FEATURES * 4 / 2**30:.2f}",
            flush=True,
        )
    slope, start = np.polyfit(options.tiles, cores, 1)
    apart = max(abs(np.polyval((slope, start), options.tiles) / cores - 1))
    print(f"time of cores = {start:.2f} s + {slope * 1e6:.1f} us a tile, at most {apart:.0%} from what was met")
    kept.keep(
        "mil_scaling",
        [cores[0] / options.tiles[0] * options.tiles[-1] / cores[-1]],
        what="a tile of the smallest bag costs so many times one of the largest",
        setting=f"{options.tiles[0]} to {options.tiles[-1]} tiles, {options.threads} threads",
    )


def make_bags(folder: Path, n_tiles: int) -> None:
    """Two bags, if they are not there."""
    from hage_transfer.data.feature_file import write_features
    from hage_transfer.door.calibration_data import made_meta

    for bag in range(2):
        if not (folder / f"b{bag}.h5").exists():
            rows = np.random.default_rng(bag).standard_normal((n_tiles, FEATURES), dtype=np.float32).astype(np.float16)
            meta = made_meta(f"b{bag}", precision="float16", config_sha256=str(bag))
            write_features(folder / f"b{bag}.h5", rows, meta, coords=np.zeros((n_tiles, 2), dtype=np.int64))


def visit(folder: Path, *, threads: int) -> dict[str, float]:
    """One epoch over both bags; seconds a bag."""
    import torch

    from hage_transfer.data.labels import LabelTable
    from hage_transfer.mil.bags import open_bags
    from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
    from hage_transfer.mil.train import FoldBags, train_folds
    from hage_transfer.running.memory import keep_freed_memory

    keep_freed_memory(everything=True)
    torch.set_num_threads(threads)
    bags = open_bags(
        folder, LabelTable(keys=np.array(["b0", "b1"]), labels=np.array(["a", "b"]), groups=None, key_column="slide")
    )
    both, none = np.arange(2), np.array([], dtype=np.int64)
    start, before = time.perf_counter(), time.process_time()
    train_folds(
        bags,
        both,
        [FoldBags(both, none)] * FOLDS,
        n_classes=2,
        model=MilModelSettings(),
        options=MilTrainSettings(epochs=1, standardise=False),
        seed=0,
    )
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds / 2, "cpu": cpu / 2, "peak_gib": peak_gib}


if __name__ == "__main__":
    main()
