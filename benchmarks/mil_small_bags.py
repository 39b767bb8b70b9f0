"""Core-seconds and AUC of small bags: our trainer, all folds together, against CLAM's gated attention fold by fold.

    python benchmarks/mil_small_bags.py --work FOLDER                         # time
    python benchmarks/mil_small_bags.py --work FOLDER --rounds 12             # and AUC over twelve seeds
    python benchmarks/mil_small_bags.py --bags-of FEATURES --rounds 12        # a folder that `hage encode slides` made

CLAM's side is its published formula (Lu et al., Nature Biomedical Engineering 2021; gated attention of Ilse et al.,
Eq. 9, with a first layer of 512 and an attention of 256), written anew here with PyTorch's own layers: one bag a step,
float32, torch's Adam as it is, bags kept in memory, weights picked by the validation loss after every epoch.
Ours is ``train_folds`` on the same bags, folds, sizes and epochs; it also scales the features by each fold's training
tiles, its default. With B bags a step the learning rate is sqrt(B) times as high (Malladi et al., "On the SDEs and
scaling rules for adaptive gradient algorithms", NeurIPS 2022). Both read the files within their time.
Each side takes its turns with one thread in this process, and the time is that of the core, not of the clock. A round
has a seed of its own for folds, weights and order, the same for all sides; AUC is the mean over its folds, and beside
each of ours stands the difference from CLAM's, round by round, with its 95% interval (Student's t). Bags are those of
mil_folds.py: in every other one some tiles are moved along one direction. On a busy machine a step of the same side
took 16 to 44 ms of a core: keep figures of an idle one alone.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kept
import mil_folds
import numpy as np
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from hage_transfer.data.labels import LabelTable, read_labels
from hage_transfer.mil.bags import BagSet, open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.running.memory import keep_freed_memory

RATE, DECAY, DROPOUT = 2e-4, 1e-5, 0.25
OURS: dict[str, dict[str, Any]] = {
    "one bag a step": {},
    "8 bags a step": {"bags_per_step": 8},
    "8 bags a step, unscaled": {"bags_per_step": 8, "standardise": False},
    "16 bags a step, unscaled": {"bags_per_step": 16, "standardise": False},
    "64 tiles a visit, 8 bags a step": {"tiles_per_visit": 64, "bags_per_step": 8},
    "32 tiles a visit, 8 bags a step": {"tiles_per_visit": 32, "bags_per_step": 8},
    "32 tiles a visit, 8 bags a step, unscaled": {"tiles_per_visit": 32, "bags_per_step": 8, "standardise": False},
}
Fold = tuple[np.ndarray, np.ndarray, np.ndarray]


class GatedAttention(nn.Module):
    """Logits of a bag: W sum_k a_k h_k, a = softmax(w (tanh(V h) * sigmoid(U h))), h = ReLU(W_h x)."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(feature_dim, 512), nn.ReLU(), nn.Dropout(DROPOUT))
        self.tanh = nn.Sequential(nn.Linear(512, 256), nn.Tanh(), nn.Dropout(DROPOUT))
        self.gate = nn.Sequential(nn.Linear(512, 256), nn.Sigmoid(), nn.Dropout(DROPOUT))
        self.score, self.classifier = nn.Linear(256, 1), nn.Linear(512, 2)

    def forward(self, tiles: Tensor) -> Tensor:
        """Of one bag."""
        hidden = self.first(tiles)
        attention = self.score(self.tanh(hidden) * self.gate(hidden)).T.softmax(dim=1)
        return self.classifier(attention @ hidden)


def clam(options: argparse.Namespace, seed: int) -> list[float]:
    """AUC of each fold, trained alone."""
    files, labels = read(options)
    bags = [torch.from_numpy(files.load(bag)) for bag in range(len(files))]
    return [clam_fold(options, bags, labels, fold, seed) for fold in mil_folds.folds_of(labels, seed)]


def clam_fold(options: argparse.Namespace, bags: list[Tensor], labels: np.ndarray, fold: Fold, seed: int) -> float:
    """One bag a step."""
    train, validation, test = fold
    torch.manual_seed(seed)
    model, targets = GatedAttention(bags[0].shape[1]), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    best, weights, orders = float("inf"), model.state_dict(), np.random.default_rng(seed)
    for _ in range(options.epochs):
        model.train()
        for bag in orders.permutation(train).tolist():
            loss = nn.functional.cross_entropy(model(bags[bag]), targets[bag : bag + 1])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            found = nn.functional.cross_entropy(torch.cat([model(bags[i]) for i in validation]), targets[validation])
        if float(found) < best:
            best, weights = float(found), copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    with torch.no_grad():
        logits = torch.cat([model(bags[i]) for i in test])
    return float(roc_auc_score(labels[test], logits.softmax(dim=1)[:, 1]))


def ours(options: argparse.Namespace, seed: int, **change: Any) -> list[float]:
    """AUC of each fold, trained together."""
    bags, labels = read(options)
    folds = mil_folds.folds_of(labels, seed)
    trained = train_folds(
        bags,
        labels,
        [FoldBags(train, validation) for train, validation, _ in folds],
        n_classes=2,
        model=MilModelSettings(),
        options=MilTrainSettings(
            epochs=options.epochs,
            min_epochs=options.epochs,
            learning_rate=RATE * change.get("bags_per_step", 1) ** 0.5,
            weight_decay=DECAY,
            **change,
        ),
        seed=seed,
    )
    found = trained.probabilities(bags, [test for _, _, test in folds])
    return [float(roc_auc_score(labels[test], of[:, 1])) for (_, _, test), of in zip(folds, found, strict=True)]


def read(options: argparse.Namespace) -> tuple[BagSet, np.ndarray]:
    """The bags, of which nothing is read yet, and their classes."""
    if options.bags_of:
        table = read_labels(options.bags_of / "labels.csv")
        return open_bags(options.bags_of / "features", table, quiet=True), table.class_indices
    keys, labels = np.array([f"b{i}" for i in range(options.bags)]), np.arange(options.bags) % 2
    table = LabelTable(keys=keys, labels=labels.astype(str), groups=None, key_column="slide")
    return open_bags(mil_folds.folder_of(options), table, quiet=True), labels


def main() -> None:
    """Takes turns and prints a line a side, the ratio and the difference of AUC."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for made-up bags")
    parser.add_argument("--bags-of", type=Path, help="folder of feature files and labels.csv, in place of these")
    parser.add_argument("--bags", type=int, default=90)
    parser.add_argument("--tiles", type=int, nargs=2, default=(120, 220), help="least and most of a bag")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=OURS,
        default=["one bag a step", "32 tiles a visit, 8 bags a step"],
        help="of ours",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory(everything=True)
    if not options.bags_of:
        mil_folds.make_bags(options)
    sides: dict[str, Callable[[int], list[float]]] = {"CLAM's formula, fold by fold": lambda seed: clam(options, seed)}
    for side in options.sides:
        sides[f"ours, {side}"] = lambda seed, change=OURS[side]: ours(options, seed, **change)  # type: ignore[misc]
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    aucs: dict[str, list[float]] = {side: [] for side in sides}
    for seed in range(options.rounds):
        for side, run in sides.items():
            start = time.process_time()
            aucs[side].append(float(np.mean(run(seed))))
            seconds[side].append(time.process_time() - start)
    report(options, seconds, aucs)


def report(options: argparse.Namespace, seconds: dict[str, list[float]], aucs: dict[str, list[float]]) -> None:
    """Prints all sides and keeps the ratios."""
    bags = options.bags_of.name if options.bags_of else f"{options.bags} bags of {options.tiles[0]} to "
    bags += "" if options.bags_of else f"{options.tiles[1]} tiles"
    first = next(iter(seconds))
    print(f"{bags}, {options.epochs} epochs, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for side, took in seconds.items():
        ratios = np.array(seconds[first]) / np.array(took)
        found = f"{side}: {np.median(took):.1f} s of a core, AUC {np.mean(aucs[side]):.3f}"
        if side == first:
            print(found)
            continue
        apart = np.array(aucs[side]) - np.array(aucs[first])
        half = stats.sem(apart) * stats.t.ppf(0.975, len(apart) - 1)
        print(
            f"{found} ({apart.mean():+.4f}, {apart.mean() - half:+.4f} to {apart.mean() + half:+.4f}), "
            f"{np.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        kept.keep(
            "mil_small_bags",
            ratios.tolist(),
            what=f"{side}, is so many times CLAM's formula in time of a core",
            setting=f"{bags}, {options.epochs} epochs",
        )


if __name__ == "__main__":
    main()
