"""Time and memory of a whole trial as spots and as genes grow, with arrays that are streamed from disk.

    OMP_NUM_THREADS=1 python benchmarks/pretrain_scaling.py spots --sizes 1000 10000 100000
    OMP_NUM_THREADS=1 python benchmarks/pretrain_scaling.py genes --sizes 200 500 1000 2000 5000

Each size is a process of its own that runs the product's trial (stored sections, clusters, training, predictions,
calibration, encoder directory) on synthetic sections of 10,000 spots; printed are its parts and the largest anonymous
memory of the process, which leaves out what the system keeps of mapped files and may drop. Arrays above
``--memory-mib`` are mapped from disk, or made by rows, instead of held. Sections are made before, in another process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import kept

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

SECTION_SPOTS = 10_000
TEST_SPOTS = 500


def main() -> None:
    """Runs every size in a process of its own and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grow", choices=["spots", "genes"])
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--spots", type=int, default=5_000, help="training spots where genes grow")
    parser.add_argument("--genes", type=int, default=200, help="genes where spots grow")
    parser.add_argument("--features", type=int, default=352)
    parser.add_argument("--embed", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--memory-mib", type=int, default=64, help="arrays above this are mapped from disk")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="disk for the sections")
    parser.add_argument("--step", choices=["make", "measure"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        (make_sections if options.step == "make" else measure)(options, options.sizes[0])
        return
    print(
        f"features {options.features}, d {options.embed}, {options.epochs} epochs, arrays above {options.memory_mib} "
        f"MiB on disk; {'genes ' + str(options.genes) if options.grow == 'spots' else 'spots ' + str(options.spots)}"
    )
    columns = f"{'epoch s':>9} {'us a spot':>10} {'read s':>8} {'clusters s':>10} {'rest s':>8} {'peak MB':>8}"
    print(f"{options.grow:>8} {columns}")
    costs = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rows = {step: child(options, size, Path(folder), step) for step in ("make", "measure")}
        row = json.loads(rows["measure"])
        print(
            f"{size:>8} {row['epoch']:>9.2f} {1e6 * row['epoch'] / row['spots']:>10.1f} {row['read']:>8.1f} "
            f"{row['clusters']:>10.1f} {row['rest']:>8.1f} {row['peak_mb']:>8.0f}",
            flush=True,
        )
        costs.append(row["epoch"] / size)
    kept.keep(
        "pretrain_scaling",
        [costs[0] / costs[-1]],
        what=f"of {options.grow}, one of the fewest costs so many times one of the most in an epoch",
        setting=f"{options.sizes[0]} to {options.sizes[-1]}, d {options.embed}",
    )


def child(options: argparse.Namespace, size: int, folder: Path, step: str) -> str:
    """One step for one size in a process of its own: its last line of output."""
    kept = {name: value for name, value in vars(options).items() if name not in ("grow", "sizes", "step", "folder")}
    arguments = [part for name, value in kept.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, __file__, options.grow, "--sizes", str(size), "--folder", str(folder), "--step", step]
    ended = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return ended.stdout.strip().splitlines()[-1] if ended.stdout.strip() else ""


def shape(options: argparse.Namespace, size: int) -> tuple[int, int]:
    """Training spots and genes of a size."""
    return (size, options.genes) if options.grow == "spots" else (options.spots, size)


def make_sections(options: argparse.Namespace, size: int) -> None:
    """Writes synthetic sections as a run stores them; their names are their order."""
    import anndata
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    from hage_transfer.pretrain.stored_sections import store_section

    n_spots, n_genes = shape(options, size)
    loadings = np.random.default_rng(0).normal(size=(8, n_genes)).astype(np.float32)
    sizes = [min(SECTION_SPOTS, n_spots - start) for start in range(0, n_spots, SECTION_SPOTS)]
    for number, n in enumerate([*sizes, TEST_SPOTS]):
        rng = np.random.default_rng([1, number])
        program = rng.normal(size=(n, 8)).astype(np.float32)
        counts = rng.poisson(np.exp(0.3 * program @ loadings - 0.5)).astype(np.float32)
        features = rng.normal(size=(n, options.features)).astype(np.float32)
        features[:, :8] += 2 * program
        section = anndata.AnnData(
            X=sp.csr_matrix(counts),
            obs=pd.DataFrame(index=[f"{number}_{spot}" for spot in range(n)]),
            var=pd.DataFrame(index=[f"G{gene}" for gene in range(n_genes)]),
            obsm={"features": features, "spatial": rng.uniform(0, 1e4, size=(n, 2))},
        )
        section.uns["section"] = {"name": f"S{number:04}", "patient": f"P{number}", "mismatches": {}}
        store_section(section, options.folder, sha256=f"S{number:04}")


def measure(options: argparse.Namespace, size: int) -> None:
    """Runs one trial and prints its times and peak memory as JSON."""
    import numpy as np

    from hage_transfer.door.calibration_data import made_meta
    from hage_transfer.pretrain import fit, growing_array, made_rows, train
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.pretrain.folds import LeftOut
    from hage_transfer.pretrain.genes import FoldGenes
    from hage_transfer.pretrain.inputs import FoldInputs
    from hage_transfer.pretrain.stored_sections import StoredSections
    from hage_transfer.pretrain.trial_files import TrialPaths

    growing_array.IN_MEMORY_BYTES = options.memory_mib << 20
    made_rows.ENTRIES = options.memory_mib << 18
    n_spots, n_genes = shape(options, size)
    files = sorted(options.folder.glob("*.h5"))
    names = tuple(path.stem for path in files)
    config = PretrainConfig.model_validate(
        {
            "data": {"root": options.folder},
            "model": {"embed_dim": options.embed},
            "train": {"epochs": options.epochs, "patience": options.epochs},
            "trials": 1,
        }
    )
    vectors = np.random.default_rng(0).normal(size=(n_genes, 200)).astype(np.float32)
    inputs = FoldInputs(
        StoredSections({path.stem: path for path in files}, options.folder),
        LeftOut("test", names[:-1], names[-1:]),
        FoldGenes(tuple(f"G{gene}" for gene in range(n_genes)), vectors, "synthetic"),
        made_meta("synthetic"),
        "0" * 64,
    )
    clock = Clock()
    clock.around(FoldInputs, "data", "read")
    clock.around(train, "hierarchical_clusters", "clusters")
    clock.around(fit.lightning.Trainer, "fit", "fit")
    start = time.perf_counter()
    with PeakMemory() as memory:
        train.train_trial(inputs, config, 0, TrialPaths.of(options.folder / "run", "test", 0, sha256="0" * 64), "cpu")
    whole = time.perf_counter() - start
    row = {
        "spots": n_spots,
        "epoch": clock.seconds["fit"] / options.epochs,
        "read": clock.seconds["read"],
        "clusters": clock.seconds["clusters"],
        "rest": whole - sum(clock.seconds.values()),
        "peak_mb": memory.peak_kb / 1024,
    }
    print(json.dumps(row))


class Clock:
    """Seconds spent in named functions."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def around(self, owner: Any, attribute: str, name: str) -> None:
        """Puts a clock around ``owner.attribute``."""
        function = getattr(owner, attribute)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

        setattr(owner, attribute, timed)


class PeakMemory:
    """Largest anonymous resident memory of this process while inside, read ten times a second (Linux)."""

    def __enter__(self) -> "PeakMemory":
        self.peak_kb, self._over = 0, threading.Event()
        self._watch = threading.Thread(target=self._run, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._watch.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
            anonymous = next(line for line in lines if line.startswith("RssAnon:"))
            self.peak_kb = max(self.peak_kb, int(anonymous.split()[1]))


if __name__ == "__main__":
    main()
