"""Five folds of AB-MIL: all together here, against torchmil's ABMIL trained fold by fold, on the same bags.

    pip install torchmil                                            # the extra `bench`
    python benchmarks/mil_folds.py --form torchmil --work FOLDER    # torchmil's default sizes
    python benchmarks/mil_folds.py --form clam --work FOLDER        # CLAM's sizes

Synthetic bags with a planted signal: a positive bag has a share of tiles that are shifted. Each side runs in a process
of its own with two threads, one after the other, with the same bags, folds, sizes, learning rate, weight decay and
number of epochs, one bag a step, weights picked by validation loss. The peer's bags are in its memory before its clock
starts; ours are read from h5 within the time. `--peer-folds` and `--epochs` shorten the run; times are then scaled to
five folds and 20 epochs, and the output says so. AUC is always of the folds and epochs that were run.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

FORMS = {
    "torchmil": {"hidden_dim": 0, "attention_dim": 128, "gated": False, "dropout": 0.0},
    "clam": {"hidden_dim": 512, "attention_dim": 256, "gated": True, "dropout": 0.25},
}
FOLDS, EPOCHS, FEATURES = 5, 20, 1024
WEIGHT_DECAY = 1e-5


def main() -> None:
    """Makes the bags, runs both sides and prints a table."""
    options = arguments()
    if options.side:
        print(json.dumps({"ours": ours, "peer": peer}[options.side](options)))
        return
    make_bags(options)
    results = {}
    for side in ("ours", "peer"):
        command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(ran.stderr)
        results[side] = json.loads(ran.stdout.strip().splitlines()[-1])
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
    parser.add_argument("--instance-dropout", type=float, default=0.0, help="of ours: another algorithm, less work")
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    return parser.parse_args()


def report(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Prints both sides."""
    print(f"form {options.form} {FORMS[options.form]}, lr {options.learning_rate:g}, {options.threads} threads each")
    for side, found in results.items():
        whole = found["seconds"] * FOLDS / found["folds"] * EPOCHS / options.epochs
        aucs = np.array(found["auc"])
        scaled = "" if whole == found["seconds"] else ", scaled"
        print(
            f"{side:>5}: {found['seconds']:8.1f} s for {found['folds']} folds x {options.epochs} epochs "
            f"({found['cpu']:.1f} s of cores; {whole:.0f} s for {FOLDS} x {EPOCHS}{scaled}), "
            f"AUC {aucs.mean():.3f} +- {aucs.std(ddof=1) if len(aucs) > 1 else float('nan'):.3f}, "
            f"peak {found['peak_gib']:.1f} GiB"
        )
    for what, name in (("seconds", "by the clock"), ("cpu", "in time of cores")):
        ratio = (results["peer"][what] / results["peer"]["folds"]) / (results["ours"][what] / FOLDS)
        print(f"ours takes 1 / {ratio:.2f} of the peer's time {name}")


def bag_sizes(options: argparse.Namespace) -> np.ndarray:
    """Tiles of each bag."""
    return np.random.default_rng(0).integers(options.tiles[0], options.tiles[1] + 1, size=options.bags)


def folder_of(options: argparse.Namespace) -> Path:
    """Where these bags lie."""
    return Path(options.work) / f"bags_{options.bags}_{options.tiles[0]}_{options.tiles[1]}"


def make_bags(options: argparse.Namespace) -> None:
    """Writes the bags, if they are not there: N(0, 1), in a positive bag 3% of the tiles moved along one direction."""
    from hage_transfer.data.feature_file import FeatureMeta, write_features

    folder = folder_of(options)
    direction = np.random.default_rng(1).normal(size=FEATURES).astype(np.float32)
    direction *= 4.0 / np.linalg.norm(direction)
    for bag, n_tiles in enumerate(bag_sizes(options).tolist()):
        path = folder / f"b{bag}.h5"
        if path.exists():
            continue
        rng = np.random.default_rng([2, bag])
        rows = rng.standard_normal((n_tiles, FEATURES), dtype=np.float32)
        if bag % 2:
            rows[: max(round(0.03 * n_tiles), 1)] += direction
        meta = FeatureMeta(f"b{bag}", "synthetic", "0" * 64, "none", 224, 224, 0.5, "float32", str(bag))
        write_features(path, rows, meta, coords=np.zeros((n_tiles, 2), dtype=np.int64))


def folds_of(options: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Training, validation and test bags of each fold, stratified."""
    from sklearn.model_selection import StratifiedKFold

    from hage_transfer.data.splits import train_validation

    labels = np.arange(options.bags) % 2
    found = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels):
        kept, validation = train_validation(labels[train].astype(str), None, share=0.125, seed=0)
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
    from mil.bags import open_bags
    from mil.config import MilModelSettings, MilTrainSettings
    from mil.memory import keep_freed_memory
    from mil.train import FoldBags, train_folds

    keep_freed_memory()
    torch.set_num_threads(options.threads)
    labels = np.arange(options.bags) % 2
    table = LabelTable(np.array([f"b{i}" for i in range(options.bags)]), labels.astype(str), None, "slide")
    folds = folds_of(options)
    start, before = time.perf_counter(), cpu_seconds()
    bags = open_bags(folder_of(options), table, memory_limit_bytes=8 << 30)
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
            instance_dropout=options.instance_dropout,
        ),
        seed=0,
    )
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
    shares = trained.probabilities(bags, [test for _, _, test in folds])
    aucs = [float(roc_auc_score(labels[test], of[:, 1])) for (_, _, test), of in zip(folds, shares, strict=True)]
    return {"seconds": seconds, "cpu": cpu, "folds": FOLDS, "auc": aucs, "peak_gib": peak_gib()}


def peer(options: argparse.Namespace) -> dict[str, Any]:
    """Fold by fold: torchmil's ABMIL by torchmil's Trainer."""
    import h5py
    import torch
    from sklearn.metrics import roc_auc_score
    from tensordict import TensorDict
    from torchmil.data import collate_fn
    from torchmil.models import ABMIL
    from torchmil.utils import Trainer

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    bags = []
    for bag in range(options.bags):
        with h5py.File(folder_of(options) / f"b{bag}.h5", "r") as file:
            rows = torch.from_numpy(file["features"][...])
        bags.append(TensorDict({"X": rows, "Y": torch.tensor(bag % 2)}))
    form: dict[str, Any] = FORMS[options.form]
    seconds, cpu, aucs = 0.0, 0.0, []
    for train, validation, test in folds_of(options)[: options.peer_folds]:
        start, before = time.perf_counter(), cpu_seconds()
        first = torch.nn.Identity()
        if form["hidden_dim"]:
            layer = torch.nn.Linear(FEATURES, form["hidden_dim"])
            first = torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Dropout(form["dropout"]))
        model = ABMIL((FEATURES,), att_dim=form["attention_dim"], gated=form["gated"], feat_ext=first)
        loaders = [
            torch.utils.data.DataLoader([bags[i] for i in rows], batch_size=1, shuffle=shuffle, collate_fn=collate_fn)
            for rows, shuffle in ((train, True), (validation, False))
        ]
        optimiser = torch.optim.Adam(model.parameters(), lr=options.learning_rate, weight_decay=WEIGHT_DECAY)
        trainer = Trainer(
            model, optimiser, metrics_dict={}, obj_metric="loss", obj_metric_mode="min", device="cpu",
            disable_pbar=True, verbose=False,
        )  # fmt: skip
        trainer.train(options.epochs, *loaders)
        seconds += time.perf_counter() - start
        cpu += cpu_seconds() - before
        model.load_state_dict(trainer.get_best_model_state_dict())
        model.eval()
        with torch.inference_mode():
            scores = [float(model(bags[i]["X"][None])) for i in test]
        aucs.append(float(roc_auc_score(test % 2, scores)))
    return {"seconds": seconds, "cpu": cpu, "folds": options.peer_folds, "auc": aucs, "peak_gib": peak_gib()}


if __name__ == "__main__":
    main()
