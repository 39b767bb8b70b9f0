"""Core-seconds of small bags: our trainer, all folds together, against CLAM's gated attention trained fold by fold.

    python benchmarks/mil_small_bags.py --work FOLDER

CLAM's side is its published formula (Lu et al., Nature Biomedical Engineering 2021; gated attention of Ilse et al.,
Eq. 9, with a first layer of 512 and an attention of 256), written anew here with PyTorch's own layers: one bag a step,
float32, torch's Adam as it is, bags kept in memory, weights picked by the validation loss after every epoch.
Ours is ``train_folds`` on the same bags, folds, sizes, epochs and learning rate; it also scales the features by each
fold's training tiles, its default. Both read the files within their time.
Each side takes its turns with one thread in this process, and the time is that of the core, not of the clock. Bags are
those of mil_folds.py: in every other one some tiles are moved along one direction. On a busy machine a step of
the same side took 16 to 44 ms of a core: keep figures of an idle one alone.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kept
import mil_folds
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from hage_transfer.data.labels import LabelTable
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.running.memory import keep_freed_memory

RATE, DECAY, DROPOUT = 2e-4, 1e-5, 0.25
Fold = tuple[np.ndarray, np.ndarray, np.ndarray]


class GatedAttention(nn.Module):
    """Logits of a bag: W sum_k a_k h_k, a = softmax(w (tanh(V h) * sigmoid(U h))), h = ReLU(W_h x)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(mil_folds.FEATURES, 512), nn.ReLU(), nn.Dropout(DROPOUT))
        self.tanh = nn.Sequential(nn.Linear(512, 256), nn.Tanh(), nn.Dropout(DROPOUT))
        self.gate = nn.Sequential(nn.Linear(512, 256), nn.Sigmoid(), nn.Dropout(DROPOUT))
        self.score, self.classifier = nn.Linear(256, 1), nn.Linear(512, 2)

    def forward(self, tiles: Tensor) -> Tensor:
        """Of one bag."""
        hidden = self.first(tiles)
        attention = self.score(self.tanh(hidden) * self.gate(hidden)).T.softmax(dim=1)
        return self.classifier(attention @ hidden)


def clam(options: argparse.Namespace, folds: list[Fold]) -> list[float]:
    """AUC of each fold, trained alone."""
    files = read(options)
    bags = [torch.from_numpy(files.load(bag)) for bag in range(options.bags)]
    return [clam_fold(options, bags, fold) for fold in folds]


def clam_fold(options: argparse.Namespace, bags: list[Tensor], fold: Fold) -> float:
    """One bag a step."""
    train, validation, test = fold
    torch.manual_seed(0)
    model, labels = GatedAttention(), torch.arange(options.bags) % 2
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    best, weights, orders = float("inf"), model.state_dict(), np.random.default_rng(0)
    for _ in range(options.epochs):
        model.train()
        for bag in orders.permutation(train).tolist():
            loss = nn.functional.cross_entropy(model(bags[bag]), labels[bag : bag + 1])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            found = nn.functional.cross_entropy(torch.cat([model(bags[i]) for i in validation]), labels[validation])
        if float(found) < best:
            best, weights = float(found), copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    with torch.no_grad():
        logits = torch.cat([model(bags[i]) for i in test])
    return float(roc_auc_score(test % 2, logits.softmax(dim=1)[:, 1]))


def ours(options: argparse.Namespace, folds: list[Fold], **change: Any) -> list[float]:
    """AUC of each fold, trained together."""
    bags = read(options)
    trained = train_folds(
        bags,
        np.arange(options.bags) % 2,
        [FoldBags(train, validation) for train, validation, _ in folds],
        n_classes=2,
        model=MilModelSettings(),
        options=MilTrainSettings(
            epochs=options.epochs, min_epochs=options.epochs, learning_rate=RATE, weight_decay=DECAY, **change
        ),
        seed=0,
    )
    found = trained.probabilities(bags, [test for _, _, test in folds])
    return [float(roc_auc_score(test % 2, of[:, 1])) for (_, _, test), of in zip(folds, found, strict=True)]


def read(options: argparse.Namespace) -> Any:
    """The bags, of which nothing is read yet."""
    keys = np.array([f"b{i}" for i in range(options.bags)])
    table = LabelTable(keys=keys, labels=(np.arange(options.bags) % 2).astype(str), groups=None, key_column="slide")
    return open_bags(mil_folds.folder_of(options), table, quiet=True)


def main() -> None:
    """Takes turns and prints a line a side and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, help="folder for the bags")
    parser.add_argument("--bags", type=int, default=90)
    parser.add_argument("--tiles", type=int, nargs=2, default=(120, 220), help="least and most of a bag")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory(everything=True)
    mil_folds.make_bags(options)
    folds = mil_folds.folds_of(options)
    sides: dict[str, Callable[[], list[float]]] = {
        "CLAM's formula, fold by fold": lambda: clam(options, folds),
        "ours, one bag a step": lambda: ours(options, folds),
        "ours, 64 tiles a visit": lambda: ours(options, folds, tiles_per_visit=64),
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    aucs: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for side, run in sides.items():
            start = time.process_time()
            aucs[side] = run()
            seconds[side].append(time.process_time() - start)
    theirs = np.array(next(iter(seconds.values())))
    print(f"{options.bags} bags, {options.epochs} epochs, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for side, took in seconds.items():
        ratios = theirs / np.array(took)
        if side.startswith("ours"):
            bags = f"{options.bags} bags of {options.tiles[0]} to {options.tiles[1]} tiles"
            kept.keep(
                "mil_small_bags",
                ratios.tolist(),
                what=f"{side}, is so many times CLAM's formula in time of a core",
                setting=f"{bags}, {options.epochs} epochs",
            )
        print(
            f"{side}: {np.median(took):.1f} s of a core, {np.median(ratios):.2f}x ({min(ratios):.2f} to "
            f"{max(ratios):.2f}), AUC {np.mean(aucs[side]):.3f} +- {np.std(aucs[side], ddof=1):.3f}"
        )


if __name__ == "__main__":
    main()
