"""Hierarchical clusters of spots: by expression, then by appearance inside each (HAGE section 2.3)."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans, MiniBatchKMeans

from hage_transfer.errors import ConfigError

_MINIBATCH_FROM = 50_000


def hierarchical_clusters(
    expression: Float[np.ndarray, "spot gene"],
    features: Float[np.ndarray, "spot feature"],
    *,
    k1: int,
    k2: int,
    seed: int,
) -> Int[np.ndarray, " spot"]:
    """Cluster number p * k2 + q of each spot: p by k-means on expression, q by k-means on features inside p.

    Some numbers stay empty where an expression cluster has fewer than ``k2`` spots: each of them is then its own
    subcluster. k-means is scikit-learn's, its minibatch form from 50,000 spots on.

    Raises:
        ConfigError: fewer spots than ``k1``.
    """
    if len(expression) < k1:
        raise ConfigError(f"clusters.k1 = {k1} needs as many training spots, there are {len(expression)}; lower it")
    coarse = _k_means(expression, k1, seed=seed)
    clusters = coarse.astype(np.int64) * k2
    for cluster in np.unique(coarse):
        rows = np.flatnonzero(coarse == cluster)
        clusters[rows] += np.arange(len(rows)) if len(rows) <= k2 else _k_means(features[rows], k2, seed=seed)
    return clusters


def _k_means(rows: Float[np.ndarray, "row column"], k: int, *, seed: int) -> Int[np.ndarray, " row"]:
    if k == 1:
        return np.zeros(len(rows), dtype=np.int64)
    distinct = len(np.unique(rows, axis=0)) if len(rows) <= 4 * k else k
    k = min(k, distinct)
    method = MiniBatchKMeans if len(rows) >= _MINIBATCH_FROM else KMeans
    return method(n_clusters=k, n_init=1, random_state=seed).fit_predict(rows)
