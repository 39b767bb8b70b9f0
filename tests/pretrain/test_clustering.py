import numpy as np
import pytest

from hage_transfer.errors import ConfigError
from hage_transfer.pretrain import clustering, made_rows
from hage_transfer.pretrain.clustering import hierarchical_clusters


def blobs(centres: int, each: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    where = np.repeat(np.arange(centres), each)
    return where, (10.0 * np.eye(centres)[where] + rng.normal(size=(len(where), centres))).astype(np.float32)


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def test_clusters_find_expression_blobs_then_feature_blobs_inside():
    by_expression, expression = blobs(3, 40, seed=0)
    by_feature = np.arange(120) % 2
    features = 8.0 * by_feature[:, None] + np.random.default_rng(1).normal(size=(120, 4))
    found = hierarchical_clusters(expression, features.astype(np.float32), k1=3, k2=2, seed=0)
    assert partition(found // 2) == partition(by_expression)
    assert partition(found) == partition(2 * by_expression + by_feature)


def test_features_alone_never_join_spots_of_different_expression():
    by_expression, expression = blobs(3, 40, seed=0)
    found = hierarchical_clusters(expression, np.zeros((120, 4), dtype=np.float32), k1=3, k2=1, seed=0)
    assert partition(found) == partition(by_expression)


def test_same_seed_gives_same_clusters():
    expression, features = np.random.default_rng(0).normal(size=(2, 100, 5)).astype(np.float32)
    one, other = (hierarchical_clusters(expression, features, k1=10, k2=2, seed=3) for _ in range(2))
    assert (one == other).all()


def test_a_cluster_smaller_than_k2_keeps_each_spot_apart():
    expression = np.concatenate([np.zeros((1, 2)), 9 + np.random.default_rng(0).normal(size=(30, 2))]).astype(
        np.float32
    )
    found = hierarchical_clusters(expression, expression, k1=2, k2=3, seed=0)
    assert (found == found[0]).sum() == 1
    assert len(np.unique(found)) == 4


def test_more_clusters_than_spots_is_an_error_that_says_so():
    rows = np.zeros((5, 2), dtype=np.float32)
    with pytest.raises(ConfigError, match=r"clusters\.k1 = 30 .* there are 5"):
        hierarchical_clusters(rows, rows, k1=30, k2=2, seed=0)


def test_clusters_of_some_rows_are_those_of_the_rows_alone():
    _, rows = blobs(4, 30, seed=0)
    chosen = np.arange(0, 120, 2)
    alone = hierarchical_clusters(rows[chosen], rows[chosen], k1=4, k2=2, seed=0)
    np.testing.assert_array_equal(hierarchical_clusters(rows, rows, k1=4, k2=2, seed=0, rows=chosen), alone)


def test_many_spots_are_clustered_from_a_sample_and_fall_into_the_same_blobs(monkeypatch):
    where, rows = blobs(3, 400, seed=0)
    monkeypatch.setattr(clustering, "_SAMPLE", 100)
    monkeypatch.setattr(made_rows.in_parts, "__kwdefaults__", {"most": 64})
    one, other = (hierarchical_clusters(rows, rows, k1=3, k2=1, seed=0) for _ in range(2))
    assert partition(one) == partition(where)
    np.testing.assert_array_equal(one, other)
