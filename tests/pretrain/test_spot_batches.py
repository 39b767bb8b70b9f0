import numpy as np
import torch

from hage_transfer.pretrain import spot_batches
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.spot_batches import SpotDataset, feature_scale, training_batches


def spots(n: int) -> Spots:
    rng = np.random.default_rng(0)
    return Spots(
        features=(rng.normal(size=(n, 3)) * [1, 5, 0] + [0, 40, 7]).astype(np.float32),
        counts=rng.poisson(3, size=(n, 2)).astype(np.float32),
        target=rng.random((n, 2)).astype(np.float32),
        coords_px=np.zeros((n, 2)),
        section=np.arange(n) % 3,
        section_names=("A", "B", "C"),
        patient=("P", "P", "Q"),
        spot_names=tuple(map(str, range(n))),
    )


def test_a_batch_holds_the_rows_of_its_spots():
    data, rows = spots(20), np.array([2, 3, 5, 7, 11, 13])
    clusters = np.arange(6) * 10
    batch = SpotDataset(data, rows, clusters)[[4, 0]]
    np.testing.assert_array_equal(batch.features, data.features[[11, 2]])
    np.testing.assert_array_equal(batch.target, data.target[[11, 2]])
    assert (batch.cluster.tolist(), batch.section.tolist(), batch.spot.tolist()) == ([40, 0], [2, 2], [4, 0])


def test_every_epoch_has_an_order_of_its_own_and_every_run_the_same_ones():
    data = SpotDataset(spots(20), np.arange(20), np.zeros(20, dtype=np.int64))
    one, other = (training_batches(data, batch_size=7, seed=3) for _ in range(2))
    epochs = [[batch.spot.tolist() for batch in loader] for loader in (one, one, other, other)]
    assert epochs[0] != epochs[1]
    assert epochs[:2] == epochs[2:]


def test_the_scale_of_many_spots_is_that_of_all_at_once(monkeypatch):
    features, rows = spots(500).features, np.arange(0, 500, 2)
    at_once = feature_scale(features, rows)
    monkeypatch.setattr(spot_batches, "_ROWS_AT_A_TIME", 33)
    for found, wanted in zip(feature_scale(features, rows), at_once, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
