"""All folds of a linear probe from one pass, against one DataLoader loop a fold and scikit-learn's logistic regression.

    python benchmarks/probe_folds.py

Features of PCAM's size (262,144 x 1,024, float16, in groups) are made in a temporary folder. Each contender runs in a
process of its own, in turn, on the same file and folds, and says how long it took, its peak memory, and its AUC, which
must agree. Features are correlated as those of deep networks are: the variance of their k-th principal component falls
as 1/k. The contenders that take long are timed on a part of their work and scaled: the plain loop on `--plain-epochs`
epochs of the first fold (every epoch of every fold is about the same number of rows and steps; its AUC is then that of
a probe half trained), scikit-learn on the first `--sklearn-folds` folds (of about the same number of rows; iterations
differ a little). `--plain-epochs 0 --sklearn-folds 0` times all of both.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

import h5py
import kept
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from hage_transfer.door.calibration_data import made_meta

CONTENDERS = ("memory", "streamed", "logistic", "plain", "sklearn")
N_GROUPS, MIB = 400, 2**20
META = made_meta("set", patch_size_px=96, patch_size_level0_px=96, precision="float16")


def main() -> None:
    """Times the contenders and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=262_144)
    parser.add_argument("--features", type=int, default=1_024)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--plain-epochs", type=int, default=2, help="of the first fold; 0: all epochs of all folds")
    parser.add_argument("--sklearn-folds", type=int, default=1, help="0: all")
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender is not None:
        print(json.dumps(run_contender(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        write_set(options)
        found = {}
        for name in options.only:
            found[name] = in_own_process(name)(options)
            print(f"{name}: {found[name]}", flush=True)
        report(options, found)


def write_set(options: argparse.Namespace) -> None:
    """Writes features.h5, in blocks, and labels.npz."""
    generator = np.random.default_rng(0)
    groups = np.sort(generator.integers(N_GROUPS, size=options.rows))
    labels = (generator.random(options.rows) < generator.uniform(0.2, 0.8, N_GROUPS)[groups]).astype(np.int64)
    of_groups = generator.normal(size=(N_GROUPS, options.features)).astype(np.float32) * 0.5
    direction = generator.normal(size=options.features).astype(np.float32)
    direction *= 1.8 / np.linalg.norm(direction)
    rotation = np.linalg.qr(generator.standard_normal((options.features, options.features)))[0]
    mixing = (rotation / np.sqrt(np.arange(1, options.features + 1))[:, None] * 10).astype(np.float32)
    with h5py.File(options.folder / "features.h5", "w") as file:
        for name, value in vars(META).items():
            file.attrs[name] = np.nan if value is None else value
        file.create_dataset("keys", data=[f"k{row}" for row in range(options.rows)], dtype=h5py.string_dtype())
        features = file.create_dataset("features", (options.rows, options.features), dtype=np.float16)
        for start in range(0, options.rows, 8192):
            rows = slice(start, min(start + 8192, options.rows))
            block = generator.standard_normal((rows.stop - rows.start, options.features), dtype=np.float32)
            block += of_groups[groups[rows]] + np.outer(labels[rows] - 0.5, direction)
            features[rows] = (block @ mixing).astype(np.float16)
    split = StratifiedGroupKFold(options.folds, shuffle=True, random_state=0).split(groups, labels, groups)
    fold_of_row = np.zeros(options.rows, dtype=np.int64)
    for fold, (_, test) in enumerate(split):
        fold_of_row[test] = fold
    np.savez(options.folder / "labels.npz", labels=labels, fold_of_row=fold_of_row)


def in_own_process(name: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """A contender in a fresh process, so that its peak memory is its own."""

    def run(options: argparse.Namespace) -> dict[str, Any]:
        sizes = ("rows", "features", "folds", "epochs", "plain_epochs", "sklearn_folds", "folder")
        arguments = [text for key in sizes for text in (f"--{key.replace('_', '-')}", str(getattr(options, key)))]
        command = [sys.executable, __file__, "--contender", name, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return run


def run_contender(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds (scaled to the whole task), share of the task that ran, peak memory and AUC of the first fold."""
    with np.load(options.folder / "labels.npz") as file:
        labels, fold_of_row = file["labels"], file["fold_of_row"]
    run = {"plain": plain, "sklearn": scikit_learn, "logistic": logistic}.get(options.contender, ours)
    warm_up()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    clock = Clock()
    share, scores = run(options, labels, fold_of_row, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tested = fold_of_row == 0
    return {
        "seconds": round(clock.total(options), 1),
        "share_timed": share,
        "peak_mib": round(peak),
        "peak_less_imports_mib": round(peak - before),
        "auc_fold_0": round(float(roc_auc_score(labels[tested], scores)), 4),
    }


class Clock:
    """Seconds of what is done once, once a fold, and once an epoch of a fold; the whole task is made of these."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {"once": [], "fold": [], "epoch": []}

    @contextmanager
    def time(self, kind: str) -> Iterator[None]:
        """Times a block."""
        start = time.perf_counter()
        yield
        self._seconds[kind].append(time.perf_counter() - start)

    def total(self, options: argparse.Namespace) -> float:
        """Seconds of the whole task: as timed where all of it ran, else means times how often."""
        counts = {"once": 1, "fold": options.folds, "epoch": options.folds * options.epochs}
        means = {kind: sum(found) / max(len(found), 1) for kind, found in self._seconds.items()}
        means["once"] = sum(self._seconds["once"])
        return sum(counts[kind] * mean for kind, mean in means.items())


def warm_up() -> None:
    """Imports of an optimiser's first step, which are no work of any contender."""
    layer = torch.nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    layer(torch.zeros(1, 2)).sum().backward()
    optimiser.step()


def ours(
    options: argparse.Namespace, labels: np.ndarray, fold_of_row: np.ndarray, clock: Clock
) -> tuple[float, np.ndarray]:
    """As a job of `hage probe`: open the file, train, predict, one thread and one that reads ahead."""
    from hage_transfer.probes.linear import train_probes

    with clock.time("once"):
        return 1.0, _of_rows(options, labels, fold_of_row, train_probes, epochs=options.epochs)


def logistic(
    options: argparse.Namespace, labels: np.ndarray, fold_of_row: np.ndarray, clock: Clock
) -> tuple[float, np.ndarray]:
    """The cross-check: L-BFGS of all folds in lockstep."""
    from hage_transfer.probes.logistic import train_logistic

    with clock.time("once"):
        return 1.0, _of_rows(options, labels, fold_of_row, train_logistic)


def _of_rows(
    options: argparse.Namespace, labels: np.ndarray, fold_of_row: np.ndarray, fit: Callable[..., Any], **more: Any
) -> np.ndarray:
    from hage_transfer.probes.rows import open_rows

    torch.set_num_threads(1)
    keys = np.array([f"k{row}" for row in range(options.rows)])
    wanted = np.arange(options.folds)[:, None] == fold_of_row
    memory_gib = 0 if options.contender == "streamed" else 64
    with open_rows([options.folder / "features.h5"], keys, memory_gib=memory_gib) as rows:
        probes = fit(rows, labels, ~wanted, n_classes=2, **more)
        return probes.probabilities(rows, wanted)[0, wanted[0], 1]


def plain(
    options: argparse.Namespace, labels: np.ndarray, fold_of_row: np.ndarray, clock: Clock
) -> tuple[float, np.ndarray]:
    """One DataLoader loop a fold, the way it is usually written; features in memory, two threads."""
    with clock.time("once"):
        features = _read(options)
    epochs = options.plain_epochs or options.epochs
    folds = 1 if options.plain_epochs else options.folds
    scores = np.empty(0)
    for fold in range(folds):
        with clock.time("fold"):
            own, others = fold_of_row != fold, fold_of_row == fold
            train = torch.from_numpy(features[own])
            mean, std = train.float().mean(dim=0), train.float().std(dim=0)
            dataset = torch.utils.data.TensorDataset(train, torch.from_numpy(labels[own]))
            loader = torch.utils.data.DataLoader(dataset, batch_size=1024, shuffle=True)
            layer = torch.nn.Linear(options.features, 2)
            optimiser = torch.optim.AdamW(layer.parameters(), lr=1e-3)
        for _ in range(epochs):
            with clock.time("epoch"):
                for batch, targets in loader:
                    optimiser.zero_grad()
                    torch.nn.functional.cross_entropy(layer((batch.float() - mean) / std), targets).backward()
                    optimiser.step()
        with torch.no_grad():  # not timed: a few tenths of a second in its favour
            found = layer((torch.from_numpy(features[others]).float() - mean) / std).softmax(dim=1)[:, 1].numpy()
        scores = found if fold == 0 else scores
    return epochs * folds / (options.epochs * options.folds), scores


def scikit_learn(
    options: argparse.Namespace, labels: np.ndarray, fold_of_row: np.ndarray, clock: Clock
) -> tuple[float, np.ndarray]:
    """StandardScaler and LogisticRegression with UNI's C, 1,000 iterations at most, one fold after the other."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with clock.time("once"):
        features = _read(options)
    folds = options.sklearn_folds or options.folds
    scores = np.empty(0)
    for fold in range(folds):
        with clock.time("fold"):
            model = make_pipeline(
                StandardScaler(copy=False), LogisticRegression(C=options.features * 2 / 100, max_iter=1000)
            )
            model.fit(features[fold_of_row != fold].astype(np.float32), labels[fold_of_row != fold])
            found = model.predict_proba(features[fold_of_row == fold].astype(np.float32))[:, 1]
        scores = found if fold == 0 else scores
    return folds / options.folds, scores


def _read(options: argparse.Namespace) -> np.ndarray:
    with h5py.File(options.folder / "features.h5", "r") as file:
        return np.asarray(file["features"][...])


def report(options: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Prints the table."""
    matrix = options.rows * options.features * 2 / MIB
    print(
        f"\n{options.rows} x {options.features} float16 ({matrix:.0f} MiB), {options.folds} folds, "
        f"{options.epochs} epochs"
    )
    print("| contender | s | timed | times ours | peak MiB | above imports, in matrices | AUC, fold 0 |")
    print("|---|---|---|---|---|---|---|")
    base = found.get("memory", next(iter(found.values())))["seconds"]
    for name, row in found.items():
        print(
            f"| {name} | {row['seconds']} | {row['share_timed']:.0%} | {row['seconds'] / base:.1f} | "
            f"{row['peak_mib']} | {row['peak_less_imports_mib'] / matrix:.2f} | {row['auc_fold_0']} |"
        )
        if name != "memory":
            kept.keep(
                "probe_folds",
                [row["seconds"] / base],
                what=f"the linear probe in memory is so many times {name}",
                setting=f"{options.rows} rows, {options.features} features, {options.folds} folds",
            )


if __name__ == "__main__":
    main()
