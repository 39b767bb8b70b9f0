"""The same commands by two versions of this project, in turn: seconds of cores and of the clock, and memory held.

    git clone . BEFORE && git -C BEFORE checkout c2f600f && make -C BEFORE .venv/.installed
    python benchmarks/two_versions.py BEFORE . --data DATA --work DIR [--stages "encode st" mil ...] [--turns 3]

DATA is the folder of the data sets of docs/real-data.md (her2st/data, ucsb_breast). Each version runs its own `hage`
from its own environment, on the same files, with what its recipes say but for the lines below. A later version may do
more under the same command (`pretrain` also runs its controls): what is compared is what a user waits for. Memory is
anonymous memory of all processes of a command, read fifty times a second. `large bags` are visits of 3,000 tiles by
five folds with CLAM's sizes on one thread, made-up features; `suite` is the tests that a bare `make test` ran.
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import kept
import mil_folds
from pretrain_memory import tree_mb

SECTIONS = "[C2,C3,C4]"
TRAIN_BAGS = """
import importlib, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
def found(name, *places):
    for place in places:
        try:
            return getattr(importlib.import_module(place), name)
        except (ImportError, AttributeError):
            pass
    raise SystemExit(f"no {name}")
train = found("train_folds", "hage_transfer.mil.train", "mil.train")
fold = found("FoldBags", "hage_transfer.mil.train", "mil.train")
open_bags = found("open_bags", "hage_transfer.mil.bags", "mil.bags")
Model = found("MilModelSettings", "hage_transfer.mil.config", "mil.config")
Train = found("MilTrainSettings", "hage_transfer.mil.config", "mil.config")
Labels = found("LabelTable", "hage_transfer.data.labels")
n = int(sys.argv[2])
labels = np.arange(n) % 2
keys = np.array([f"b{i}" for i in range(n)])
table = Labels(keys=keys, labels=labels.astype(str), groups=None, key_column="slide")
bags = open_bags(Path(sys.argv[1]), table)
folds = [fold(np.flatnonzero(np.arange(n) % 5 != k), np.arange(0)) for k in range(5)]
train(bags, labels, folds, n_classes=2, model=Model(), options=Train(epochs=4, validation=0), seed=0)
"""


MADE_UP = ("large bags", "demo", "suite")


class Took(NamedTuple):
    """Of a command: seconds of cores and of the clock, MB held at most."""

    cores: float
    clock: float
    memory: float


def commands(version: Path, data: Path, work: Path) -> dict[str, list[str]]:
    """What a version runs, by stage; a stage finds the features of those before it."""
    hage, python, own = version / ".venv/bin/hage", version / ".venv/bin/python", work / version.name
    her2st = f"data.root={data / 'her2st' / 'data'} data.sections={SECTIONS} features={own / 'st'}"
    trained = "split.unit=section split.held_out=[C4] trials=1 train.epochs=8 train.patience=8"
    genes = "genes.min_sections=2 genes.min_spots=100"
    ucsb = f"data.root={data / 'ucsb_breast'}"
    patches, bags = f"{ucsb} features={own / 'patches'}", f"{ucsb} features={own / 'bags'}"
    sizes = "model.hidden_dim=512 model.attention_dim=256 train.epochs=20 train.repeats=1 train.bags_per_step=1"

    def settings(text: str) -> list[str]:
        return [part for one in text.split() for part in ("--set", one)]

    recipes, plain = version / "configs", 'sources={"frozen":{}}'
    return {
        "encode st": [f"{hage}", "encode", "st", f"{recipes}/pretrain/her2st.yaml", *settings(her2st)],
        "pretrain": [
            *(f"{hage}", "pretrain", f"{recipes}/pretrain/her2st.yaml", "--out", f"{own}/run-st"),
            *settings(f"{her2st} {trained} {genes}"),
        ],
        "encode patches": [f"{hage}", "encode", "patches", f"{recipes}/probes/ucsb.yaml", *settings(patches)],
        "probe": [
            *(f"{hage}", "probe", f"{recipes}/probes/ucsb.yaml", "--out", f"{own}/run-probe"),
            *settings(f"{patches} {plain}"),
        ],
        "encode slides": [f"{hage}", "encode", "slides", f"{recipes}/mil/ucsb.yaml", *settings(bags)],
        "mil": [
            *(f"{hage}", "mil", f"{recipes}/mil/ucsb.yaml", "--out", f"{own}/run-mil"),
            *settings(f"{bags} {plain} {sizes}"),
        ],
        "large bags": [f"{python}", "-c", TRAIN_BAGS, str(work / "large"), "10"],
        "demo": [f"{hage}", "demo", "--out", f"{own}/demo", "--jobs", "2"],
        "suite": [f"{python}", "-m", "pytest", "-q", "-n", "2"],
    }


def main() -> None:
    """Runs both and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", type=Path, nargs=2, help="clones of both, each with its .venv: before, after")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", help="left out: all but the suite")
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    versions = [version.resolve() for version in options.versions]
    data, work = options.data.resolve(), options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    make_bags(work / "large")
    both = [commands(version, data, work) for version in versions]
    print("| command | cores, s | clock, s | memory, MB | cores, before / after |\n| --- | --- | --- | --- | --- |")
    for stage in options.stages or [stage for stage in both[0] if stage != "suite"]:
        turns = [
            [
                run(each[stage], version, work / f"{version.name}.log")
                for each, version in zip(both, versions, strict=True)
            ]
            for _ in range(options.turns)
        ]
        show(stage, [turn[0] for turn in turns], [turn[1] for turn in turns])


def show(stage: str, before: Sequence[Took], after: Sequence[Took]) -> None:
    """Prints and keeps a stage's ratio."""
    ratios = [one.cores / other.cores for one, other in zip(before, after, strict=True)]
    cells = [
        " -> ".join(f"{statistics.median(column):.0f}" for column in columns)
        for columns in zip(zip(*before, strict=True), zip(*after, strict=True), strict=True)
    ]
    print(f"| {stage} | {' | '.join(cells)} | {statistics.median(ratios):.2f} |", flush=True)
    kept.keep(
        "two_versions",
        ratios,
        what=f"{stage} by version 0.1 takes so many times today's time of cores",
        setting="made-up data" if stage in MADE_UP else "real data",
    )


def run(command: Sequence[str], version: Path, log: Path) -> Took:
    """A command in its version's folder, anew."""
    for argument in made_by(command):
        shutil.rmtree(argument, ignore_errors=True)
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began, before, memory = time.perf_counter(), os.times(), 0.0
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, cwd=version, env=environment, stdout=said, stderr=said)
        while process.poll() is None:
            memory = max(memory, tree_mb(process.pid)["RssAnon"])
            time.sleep(0.02)
    took, after = time.perf_counter() - began, os.times()
    if process.returncode and "pytest" not in command:
        sys.exit(f"{' '.join(command)[:300]}\n{log.read_text(encoding='utf-8')[-2_000:]}")
    cores = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(cores, took, memory)


def made_by(command: Sequence[str]) -> list[str]:
    """Folders that a command writes: a run, or features."""
    runs = [folder for option, folder in itertools.pairwise(command) if option == "--out"]
    features = [argument.removeprefix("features=") for argument in command if argument.startswith("features=")]
    return runs + (features if "encode" in command else [])


def make_bags(folder: Path) -> None:
    """Ten bags of 3,000 tiles."""
    if not folder.exists():
        options = argparse.Namespace(work=folder.parent, bags=10, tiles=(3000, 3000))
        mil_folds.make_bags(options)
        mil_folds.folder_of(options).rename(folder)


if __name__ == "__main__":
    main()
