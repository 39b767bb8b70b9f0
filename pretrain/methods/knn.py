"""k nearest neighbours: the mean expression of the training spots whose features are nearest."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32, Int
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize
from threadpoolctl import threadpool_limits

from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.base import Method, Task, Trained
from hage_transfer.pretrain.methods.retrieval import Matches, mean_expression
from hage_transfer.pretrain.methods.selection import Positions, Setting, choose

KS = (1, 5, 10, 25, 50, 100, 200)
METRICS = ("euclidean", "cosine")


def fit_knn(task: Task, *, ks: tuple[int, ...] = KS) -> Trained:
    """Predicts from all training sections, with the k and the metric of best held-out PCC.

    Args:
        task: the trial; its rows and seed are not used, since the choice is made by leaving sections out.
        ks: to choose from; what the training spots cannot fill is left out.
    """
    train, test = task.data.train, task.data.test
    with threadpool_limits(1):
        (k, cosine), score = choose(
            train, lambda fitted, held_out: _settings(train, fitted, held_out, ks), unit=task.config.split.unit
        )
        metric = METRICS[int(cosine)]
        own = nearest(train.features, train.features, k=min(int(k) + 1, len(train)), metric=metric)
        others = nearest(train.features, test.features, k=int(k), metric=metric)
        known, asked = (_mean(rows, np.asarray(train.target)) for rows in (_without_self(own), others))
    return Trained(known, asked, score, chosen={"k": k, "cosine": cosine})


def nearest(
    known: Float32[np.ndarray, "known feature"], asked: Float32[np.ndarray, "asked feature"], *, k: int, metric: str
) -> Int[np.ndarray, "asked k"]:
    """Rows of ``known``, nearest first, by features standardised on ``known``.

    Args:
        known: features of the training spots.
        asked: features of the spots to predict.
        k: neighbours.
        metric: ``euclidean`` or ``cosine``.
    """
    scaler = StandardScaler().fit(known)
    known, asked = scaler.transform(known), scaler.transform(asked)
    if metric == "cosine":  # the order of cosine distances is that of Euclidean ones between unit vectors
        known, asked = normalize(known), normalize(asked)
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(known).kneighbors(asked, return_distance=False)


def _settings(
    train: Spots, fitted: Positions, held_out: Positions, ks: tuple[int, ...]
) -> Iterator[tuple[Setting, Float[np.ndarray, "spot gene"]]]:
    possible = [k for k in ks if k <= len(fitted)]
    for cosine, metric in enumerate(METRICS):
        rows = nearest(train.features[fitted], train.features[held_out], k=possible[-1], metric=metric)
        for k in possible:
            yield (float(k), float(cosine)), _mean(rows[:, :k], train.target[fitted])


def _mean(
    rows: Int[np.ndarray, "spot k"], target: Float32[np.ndarray, "train gene"]
) -> Float32[np.ndarray, "spot gene"]:
    return mean_expression(Matches(rows, np.full(rows.shape, 1 / rows.shape[1])), target)


def _without_self(rows: Int[np.ndarray, "spot k"]) -> Int[np.ndarray, "spot others"]:
    """Neighbours of training spots without the spot itself, or without the last where duplicates crowd it out."""
    if rows.shape[1] == 1:
        return rows
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    return rows[~own].reshape(len(rows), -1)


METHOD = Method(
    name="knn",
    title="k-NN",
    reference="Cover and Hart, IEEE Trans Inf Theory 1967; on the same features",
    stochastic=False,
    fit=fit_knn,
)
