"""Five folds of AB-MIL: all together here, against torchmil's ABMIL trained fold by fold, on the same bags.

    pip install torchmil                                            # the extra `bench`
    python benchmarks/mil_folds.py --form torchmil --work FOLDER    # torchmil's default sizes
    python benchmarks/mil_folds.py --form clam --work FOLDER        # CLAM's sizes

Three sides on the same bags, folds, sizes, learning rate, weight decay and number of epochs, one bag a step, weights
picked by the loss on the same validation bags, which every side sees whole after every epoch:

- exact: our folds together, every tile of every bag in every visit: the peer's arithmetic. All folds share the reading
  of a bag and one large product, which saves little, as products are nearly all of the work and are as many.
- tiles: the same with `train.tiles_per_visit`: a visit trains on that many tiles of a bag, drawn anew each time. This
  is less work and another algorithm, so its AUC beside the exact one's says what it costs. A gain in time above that
  of the exact side comes from this alone; a peer's loop could draw tiles too.
- peer: torchmil's ABMIL, its own loss, fold by fold, in a plain loop over bags in memory. torchmil's Trainer with a
  DataLoader copies every bag on its way (`--peer-loop trainer`); the plain loop is faster, and so the default.

The signal is planted: in a positive bag, 5 to 10% of the tiles are moved along one direction, in some bags further than
in others, so that no classifier finds all. Each side runs in a process of its own with as many threads, one after the
other. Ours has a logit for each class and the peer one in all, so that a step of Adam moves the difference of our
logits about twice as far: after as few epochs as these, the AUC of the exact side and the peer's need not be equal. The
peer's bags are in its memory before its clock starts; ours are read from h5 within the time. `--peer-folds` and
`--epochs` shorten the run; times are then scaled to five folds and 20 epochs, and the output says so. AUC is always of
the folds and epochs that were run. On a machine with other work, go by the time of cores.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import kept
import numpy as np

FORMS = {
    "torchmil": {"hidden_dim": 0, "attention_dim": 128, "gated": False, "dropout": 0.0},
    "clam": {"hidden_dim": 512, "attention_dim": 256, "gated": True, "dropout": 0.25},
}
FOLDS, EPOCHS, FEATURES = 5, 20, 1024
WEIGHT_DECAY = 1e-5
SHARE = (0.05, 0.1)
"""Least and most of a positive bag's tiles that are moved."""
MOVED = (0.5, 3.5)
"""Least and most that they are moved by, in standard deviations of a feature."""


def main() -> None:
    """Makes the bags, runs both sides and prints a table."""
    options = arguments()
    if options.side:
        print(json.dumps(peer(options) if options.side == "peer" else ours(options)))
        return
    make_bags(options)
    print(
        f"form {options.form} {FORMS[options.form]}, lr {options.learning_rate:g}, {options.threads} threads each",
        flush=True,
    )
    results = {}
    for side in ("tiles", "exact", "peer"):
        command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
        # Threads that wait for each other by spinning would count as work where cores are shared.
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if ran.returncode:
            raise SystemExit(ran.stderr)
        results[side] = json.loads(ran.stdout.strip().splitlines()[-1])
        report_side(options, side, results[side])
    report(options, results)


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", choices=FORMS, default="torchmil", help="sizes of both")
    parser.add_argument("--work", type=Path, required=True, help="folder for the bags")
    parser.add_argument("--bags", type=int, default=200)
    parser.add_argument("--tiles", type=int, nargs=2, default=(500, 8000), help="least and most of a bag")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of both sides; times are scaled to 20")
    parser.add_argument("--peer-folds", type=int, default=FOLDS, help="folds that the peer trains")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiles-per-visit", type=int, default=512, help="of the side `tiles`")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="of ours: features kept in memory")
    parser.add_argument("--peer-loop", choices=("plain", "trainer"), default="plain")
    parser.add_argument("--side", choices=("tiles", "exact", "peer"), help=argparse.SUPPRESS)
    return parser.parse_args()


def report_side(options: argparse.Namespace, side: str, found: dict[str, Any]) -> None:
    """Prints what a side took and reached."""
    share = FOLDS / found["folds"] * EPOCHS / options.epochs
    scaled = "" if share == 1 else f"; scaled to {FOLDS} x {EPOCHS}: {found['cpu'] * share:.0f} s of cores"
    print(
        f"{side:>5}: {found['seconds']:7.1f} s for {found['folds']} folds x {options.epochs} epochs "
        f"({found['cpu']:.1f} s of cores{scaled}), AUC {np.mean(found['auc']):.3f} +- {std(found['auc']):.3f} "
        f"({', '.join(f'{auc:.3f}' for auc in found['auc'])}), peak {found['peak_gib']:.1f} GiB",
        flush=True,
    )


def report(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Prints both of ours against the peer."""
    theirs = results["peer"]
    for side, how in (("exact", "all tiles"), ("tiles", f"{options.tiles_per_visit} tiles a visit")):
        mine = results[side]
        gains = [(theirs[what] / theirs["folds"]) / (mine[what] / FOLDS) for what in ("seconds", "cpu")]
        kept.keep(
            "mil_folds",
            [gains[1]],
            what=f"{how} are so many times the peer in time of cores",
            setting=f"{options.form}, {options.bags} bags of {options.tiles[0]} to {options.tiles[1]} tiles, "
            f"{options.epochs} epochs, {options.threads} threads",
        )
        apart = np.mean(mine["auc"][: theirs["folds"]]) - np.mean(theirs["auc"])
        bound = std(theirs["auc"])
        verdict = "within" if abs(apart) <= bound else "not within" if abs(apart) > bound else "of one fold: no"
        print(
            f"{side} ({how}): {gains[0]:.2f} times faster than the peer by the clock, {gains[1]:.2f} in time of cores; "
            f"AUC {apart:+.3f}, {verdict} one std of the peer's"
        )


def std(values: list[float]) -> float:
    """Over folds; NaN of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def bag_sizes(options: argparse.Namespace) -> np.ndarray:
    """Tiles of each bag."""
    return np.random.default_rng(0).integers(options.tiles[0], options.tiles[1] + 1, size=options.bags)


def folder_of(options: argparse.Namespace) -> Path:
    """Where these bags lie."""
    return Path(options.work) / f"bags_{options.bags}_{options.tiles[0]}_{options.tiles[1]}_{MOVED[0]:g}_{MOVED[1]:g}"


def make_bags(options: argparse.Namespace) -> None:
    """Writes the bags, if they are not there: N(0, 1), and in every other bag some tiles moved along one direction."""
    from hage_transfer.data.feature_file import write_features
    from hage_transfer.door.calibration_data import made_meta

    folder = folder_of(options)
    direction = np.random.default_rng(1).normal(size=FEATURES).astype(np.float32)
    direction /= np.linalg.norm(direction)
    for bag, n_tiles in enumerate(bag_sizes(options).tolist()):
        path = folder / f"b{bag}.h5"
        if path.exists():
            continue
        rng = np.random.default_rng([2, bag])
        rows = rng.standard_normal((n_tiles, FEATURES), dtype=np.float32)
        if bag % 2:
            moved = rng.permutation(n_tiles)[: max(round(rng.uniform(*SHARE) * n_tiles), 1)]
            rows[moved] += np.float32(rng.uniform(*MOVED)) * direction
        meta = made_meta(f"b{bag}", config_sha256=str(bag))
        write_features(path, rows, meta, coords=np.zeros((n_tiles, 2), dtype=np.int64))


def folds_of(labels: np.ndarray, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Training, validation and test bags of each fold, stratified."""
    from sklearn.model_selection import StratifiedKFold

    from hage_transfer.compare.splits import train_validation

    found = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        kept, validation = train_validation(labels[train].astype(str), None, share=0.125, seed=seed)
        found.append((train[kept], train[validation], test))
    return found


def peak_gib() -> float:
    """Most memory that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def cpu_seconds() -> float:
    """Time that this process's threads had a core; unlike the clock's, it leaves other work on the machine out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """All folds together."""
    import torch
    from sklearn.metrics import roc_auc_score

    from hage_transfer.data.labels import LabelTable
    from hage_transfer.mil.bags import open_bags
    from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
    from hage_transfer.mil.train import FoldBags, train_folds
    from hage_transfer.running.memory import keep_freed_memory

    keep_freed_memory(everything=True)
    torch.set_num_threads(options.threads)
    labels = np.arange(options.bags) % 2
    table = LabelTable(
        keys=np.array([f"b{i}" for i in range(options.bags)]),
        labels=labels.astype(str),
        groups=None,
        key_column="slide",
    )
    folds = folds_of(labels)
    start, before = time.perf_counter(), cpu_seconds()
    bags = open_bags(folder_of(options), table, memory_limit_bytes=int(options.memory_gib * 2**30))
    trained = train_folds(
        bags,
        labels,
        [FoldBags(train, validation) for train, validation, _ in folds],
        n_classes=2,
        model=MilModelSettings(**FORMS[options.form]),
        options=MilTrainSettings(
            epochs=options.epochs,
            min_epochs=options.epochs,
            learning_rate=options.learning_rate,
            weight_decay=WEIGHT_DECAY,
            standardise=False,
            tiles_per_visit=options.tiles_per_visit if options.side == "tiles" else None,
        ),
        seed=0,
    )
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
    shares = trained.probabilities(bags, [test for _, _, test in folds])
    aucs = [float(roc_auc_score(labels[test], of[:, 1])) for (_, _, test), of in zip(folds, shares, strict=True)]
    return {"seconds": seconds, "cpu": cpu, "folds": FOLDS, "auc": aucs, "peak_gib": peak_gib()}


def peer(options: argparse.Namespace) -> dict[str, Any]:
    """Fold by fold: torchmil's ABMIL."""
    import h5py
    import torch
    from peer_torchmil import plain_loop, torchmil_trainer
    from sklearn.metrics import roc_auc_score
    from torchmil.models import ABMIL

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    bags = []
    for bag in range(options.bags):
        with h5py.File(folder_of(options) / f"b{bag}.h5", "r") as file:
            bags.append(torch.from_numpy(file["features"][...]))
    form: dict[str, Any] = FORMS[options.form]
    train_peer = {"plain": plain_loop, "trainer": torchmil_trainer}[options.peer_loop]
    seconds, cpu, aucs = 0.0, 0.0, []
    for train, validation, test in folds_of(np.arange(options.bags) % 2)[: options.peer_folds]:
        start, before = time.perf_counter(), cpu_seconds()
        first = torch.nn.Identity()
        if form["hidden_dim"]:
            layer = torch.nn.Linear(FEATURES, form["hidden_dim"])
            first = torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Dropout(form["dropout"]))
        model = ABMIL((FEATURES,), att_dim=form["attention_dim"], gated=form["gated"], feat_ext=first)
        optimiser = torch.optim.Adam(model.parameters(), lr=options.learning_rate, weight_decay=WEIGHT_DECAY)
        train_peer(model, optimiser, bags, train, validation, epochs=options.epochs)
        seconds += time.perf_counter() - start
        cpu += cpu_seconds() - before
        model.eval()
        with torch.inference_mode():
            scores = [float(model(bags[i][None])) for i in test]
        aucs.append(float(roc_auc_score(test % 2, scores)))
    return {"seconds": seconds, "cpu": cpu, "folds": options.peer_folds, "auc": aucs, "peak_gib": peak_gib()}


if __name__ == "__main__":
    main()
