"""Hierarchical clusters of spots: by expression, then by appearance inside each (HAGE section 2.3)."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans

from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.made_rows import Rows, in_parts

_SAMPLE = 50_000
_ENTRIES = 2**26


def hierarchical_clusters(
    expression: Rows,
    features: Float[np.ndarray, "spot feature"],
    *,
    k1: int,
    k2: int,
    seed: int,
    rows: Int[np.ndarray, " row"] | None = None,
) -> Int[np.ndarray, " row"]:
    """Cluster number p * k2 + q of each spot: p by k-means on expression, q by k-means on features inside p.

    Some numbers stay empty where an expression cluster has fewer than ``k2`` spots: each of them is then its own
    subcluster. k-means is scikit-learn's; its centres are those of all spots up to 50,000 and of 50,000 drawn ones
    above (fewer where columns are more than 1,342), so that neither time nor memory of the fit grows further and the
    arrays may be larger than memory.

    Args:
        expression: what k1 is taken on.
        features: what k2 is taken on.
        k1: clusters of expression.
        k2: subclusters in each.
        seed: of k-means and of the draw.
        rows: spots to cluster, as rows of both arrays; None: all.

    Raises:
        ConfigError: fewer spots than ``k1``.

    >>> expression = np.array([[0.0], [0.0], [9.0], [9.0]])
    >>> features = np.array([[0.0], [5.0], [0.0], [5.0]])
    >>> len(set(hierarchical_clusters(expression, features, k1=2, k2=2, seed=0)))
    4
    """
    chosen = np.arange(len(expression)) if rows is None else rows
    if len(chosen) < k1:
        raise ConfigError(f"clusters.k1 = {k1} needs as many training spots, there are {len(chosen)}; lower it")
    coarse = _k_means(expression, chosen, k1, seed=seed)
    clusters = coarse.astype(np.int64) * k2
    for cluster in np.unique(coarse):
        inside = np.flatnonzero(coarse == cluster)
        own = np.arange(len(inside)) if len(inside) <= k2 else _k_means(features, chosen[inside], k2, seed=seed)
        clusters[inside] += own
    return clusters


def _k_means(values: Rows, rows: Int[np.ndarray, " row"], k: int, *, seed: int) -> Int[np.ndarray, " row"]:
    if k == 1:
        return np.zeros(len(rows), dtype=np.int64)
    if len(rows) <= 4 * k:
        k = min(k, len(np.unique(values[rows], axis=0)))
    method = KMeans(n_clusters=k, n_init=1, random_state=seed, copy_x=False)  # of rows that were copied already
    most = min(_SAMPLE, max(k, _ENTRIES // values.shape[1]))
    if len(rows) <= most:
        return method.fit_predict(values[rows])
    sample = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    method.fit(values[rows[sample]])
    return np.concatenate([method.predict(values[part]) for part in in_parts(rows, values.shape[1])])
