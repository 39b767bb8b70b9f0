"""Largest memory of `hage pretrain` as spots grow: reading, genes, clusters, a trial, scores, controls and tables.

    OMP_NUM_THREADS=1 python benchmarks/pretrain_memory.py --spots 20000 100000 1000000 --genes 5000 --folder DISK

Sections of up to 10,000 spots (about a tenth of the counts above 0), of twenty patients, the last of which is held
out, are written as h5ad with feature files beside them; the command runs on them in processes of its own, one epoch
and one trial. Printed is, phase by phase, the largest sum over its processes of anonymous memory: what it holds. Pages
of mapped files are not in it: the system drops them where memory is short. The largest resident sum, which counts
them, stands beside it. A million spots of 5,000 genes take about 20 GB of disk.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import kept
import numpy as np
import pandas as pd
import scipy.sparse as sp
from PIL import Image

from hage_transfer.data.feature_file import write_features
from hage_transfer.door.calibration_data import made_meta

SECTION_SPOTS, PATIENTS, DISTINCT = 10_000, 20, 10
META = made_meta("synthetic", mpp_um_per_px=0.5)
CONFIG = """
data: {{root: {folder}/st, layout: anndata}}
features: {folder}/features
genes: {{panel: {folder}/panel.txt, embeddings: {embeddings}}}
model: {{embed_dim: 64, n_heads: 4}}
train: {{epochs: 1, batch_size: 1024}}
split: {{held_out: [P{last}], validation: 0.05}}
trials: 1
"""
_MEMORY = re.compile(r"^(VmRSS|RssAnon):\s*(\d+)", re.MULTILINE)
PHASES = {
    "reading": "folds",
    "genes": "folds/*/genes.h5",
    "clusters": "tensorboard",
    "trial": "jobs/*/trial_*.h5",
    "scores": "jobs/*/scores-*.json",
    "controls": "jobs/*/controls-*.json",
    "tables": "nothing",
}
"""Of a run, and what is there of it when each is over."""


def main() -> None:
    """Measures every number of spots and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spots", type=int, nargs="+", default=[20_000])
    parser.add_argument("--genes", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--co-expression", action="store_true", help="train the gene embeddings on the counts")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    print(f"{options.genes} genes, {options.features} features; MB of all processes of a run, anonymous")
    print(f"{'spots':>9} {'minutes':>8} {'resident':>9} {'peak':>7}" + "".join(f"{name:>10}" for name in PHASES))
    for spots in options.spots:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            make_set(Path(name), spots, options)
            minutes, resident, peaks = measured(Path(name))
        peak = max(peaks.values())
        phases = "".join(f"{peaks[name]:>10.0f}" for name in PHASES)
        print(f"{spots:>9} {minutes:>8.1f} {resident:>9.0f} {peak:>7.0f}{phases}", flush=True)
        kept.keep(
            "pretrain_memory",
            [2048 / peak],
            what="2 GiB are so many times the largest anonymous memory of all processes of a run",
            setting=f"{spots} spots, {options.genes} genes",
        )


def measured(folder: Path) -> tuple[float, float, dict[str, float]]:
    """Runs the command: minutes, largest resident MB, and largest anonymous MB by phase."""
    hage = [sys.executable, "-c", "from hage_transfer.cli.start import main; main()"]
    command = [*hage, "pretrain", str(folder / "config.yaml"), "--out", str(folder / "run"), "--device", "cpu"]
    start, resident, peaks = time.perf_counter(), 0.0, dict.fromkeys(PHASES, 0.0)
    phase = "reading"
    process = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(folder)})
    while process.poll() is None:
        now = next(name for name, over in PHASES.items() if not any((folder / "run").glob(over)))
        if now != phase:
            print(
                f"  {phase}: {peaks[phase]:.0f} MB, after {(time.perf_counter() - start) / 60:.1f} minutes", flush=True
            )
        phase, found = now, tree_mb(process.pid)
        resident, peaks[phase] = max(resident, found["VmRSS"]), max(peaks[phase], found["RssAnon"])
        time.sleep(0.1)
    if process.returncode:
        sys.exit(process.returncode)
    return (time.perf_counter() - start) / 60, resident, peaks


def make_set(folder: Path, n_spots: int, options: argparse.Namespace) -> None:
    """Writes sections, features, a panel, gene vectors and the config; counts repeat after ten sections, reordered."""
    for name in ("st", "features"):
        (folder / name).mkdir()
    genes, rng = [f"G{gene}" for gene in range(options.genes)], np.random.default_rng(0)
    loadings = 0.3 * rng.normal(size=(8, options.genes)).astype(np.float32)
    rates = rng.gamma(0.5, 0.2, size=options.genes).astype(np.float32)
    n_sections = max(PATIENTS, -(-n_spots // SECTION_SPOTS))
    made = []
    for number, rows in enumerate(np.array_split(np.arange(n_spots), n_sections)):
        if number < DISTINCT:
            program = rng.normal(size=(len(rows), 8)).astype(np.float32)
            made.append((program, sp.csr_matrix(rng.poisson(rates * np.exp(program @ loadings)).astype(np.float32))))
        program, counts = made[number % DISTINCT]
        order = rng.permutation(len(program))[: len(rows)]
        write_section(folder, number, program[order], counts[order], genes, options.features)
    (folder / "panel.txt").write_text("\n".join(genes), encoding="utf-8")
    lines = [f"{gene} {' '.join(f'{value:.4f}' for value in rng.normal(size=32))}" for gene in genes]
    (folder / "genes.txt").write_text("\n".join([f"{len(genes)} 32", *lines]) + "\n", encoding="utf-8")
    embeddings = "null" if options.co_expression else folder / "genes.txt"
    config = CONFIG.format(folder=folder, last=PATIENTS - 1, embeddings=embeddings)
    (folder / "config.yaml").write_text(config, encoding="utf-8")


def write_section(
    folder: Path, number: int, program: np.ndarray, counts: sp.csr_matrix, genes: list[str], width: int
) -> None:
    """Writes one section, its features and a picture, which the run asks to be there and does not look at."""
    rng, name, places = np.random.default_rng([1, number]), f"S{number:04}", np.arange(len(program))
    features = rng.normal(size=(len(program), width)).astype(np.float32)
    features[:, :8] += 2 * program
    spots = [f"s{row}" for row in places]
    obs = pd.DataFrame({"patient": f"P{number % PATIENTS}"}, index=spots)
    spatial = np.stack([places % 100, places // 100], axis=1) * 1.0
    table = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes), obsm={"spatial": spatial})
    table.write_h5ad(folder / "st" / f"{name}.h5ad")
    write_features(folder / "features" / f"{name}.h5", features, META, keys=spots)
    picture = io.BytesIO()
    Image.new("RGB", (100, 100)).save(picture, "PNG")
    (folder / "st" / f"{name}.png").write_bytes(picture.getvalue())


def tree_mb(root: int) -> dict[str, float]:
    """Resident and anonymous memory of a process and all below it."""
    found, waiting = dict.fromkeys(("VmRSS", "RssAnon"), 0.0), [root]
    for pid in waiting:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += [int(child) for child in children.read_text(encoding="utf-8").split()]
        except OSError:
            continue
        for key, kilobytes in _MEMORY.findall(status):
            found[key] += int(kilobytes) / 1024
    return found


if __name__ == "__main__":
    main()
