"""What a training begins with: new classifiers, the scaling of each fold, weights of classes."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.mil.bags import BagSet
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.fold_stack import FoldStack
from hage_transfer.mil.models import BagClassifier, build_model
from hage_transfer.mil.own_class import MakeClassifier
from hage_transfer.mil.scaling import fold_moments


def new_stack(
    bags: BagSet,
    rows: Sequence[Int[np.ndarray, " train"]],
    n_classes: int,
    model: MilModelSettings,
    options: MilTrainSettings,
    *,
    seed: int,
    device: str,
    positive: int | None,
    own: MakeClassifier | None,
) -> FoldStack:
    """Classifiers of all folds, each scaled by its own training bags, with equal weights drawn from ``seed``."""
    training = np.zeros((len(rows), len(bags)), dtype=bool)
    for fold, own_rows in enumerate(rows):
        training[fold, own_rows] = True
    if options.standardise:
        mean, std = fold_moments(bags, training)
    else:
        mean, std = torch.zeros(len(rows), bags.feature_dim), torch.ones(len(rows), bags.feature_dim)
    networks = [_new_model(bags.feature_dim, n_classes, model, seed=seed, positive=positive, own=own) for _ in rows]
    return FoldStack(
        networks,
        mean.to(device),
        std.to(device),
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        precision=options.precision,
        is_scaled=options.standardise,
    )


def _new_model(
    feature_dim: int,
    n_classes: int,
    model: MilModelSettings,
    *,
    seed: int,
    positive: int | None,
    own: MakeClassifier | None,
) -> BagClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(feature_dim=feature_dim, n_classes=n_classes, own=own, **model.sizes(positive=positive))


def class_weights(labels: np.ndarray, n_classes: int, *, how: str) -> Float[Tensor, " class"]:
    """``balanced``: a class with half the mean number of bags counts twice; their mean over the bags is 1."""
    if how == "none":
        return torch.ones(n_classes)
    counts = np.bincount(labels, minlength=n_classes)
    return torch.from_numpy(len(labels) / (n_classes * np.maximum(counts, 1))).float()
