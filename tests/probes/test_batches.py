"""The order of rows: each once, the same in memory and streamed, mixed where a set is larger than a window."""

import h5py
import numpy as np
import pytest
import torch

from hage_transfer.probes import batches
from hage_transfer.probes.batches import epoch_windows, shuffled_batches
from hage_transfer.probes.rows import LabelledFeatures, _Columns


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(batches, "WINDOW_ROWS", 64)
    monkeypatch.setattr(batches, "BLOCK_ROWS", 8)


def generator():
    return torch.Generator().manual_seed(0)


def all_batches(features, *, batch_size=10, epochs=2):
    shift = torch.zeros(features.n_features)
    order = {"epochs": epochs, "batch_size": batch_size, "generator": generator()}
    return list(shuffled_batches(features, shift=shift, **order))


@pytest.mark.parametrize("n_rows", [1, 63, 64, 65, 403])
def test_epoch_windows_hold_every_row_once(small_windows, n_rows):
    rows = np.concatenate(list(epoch_windows(n_rows, batch_size=10, generator=generator())))
    assert sorted(rows) == list(range(n_rows))


def test_epoch_windows_mix_rows_from_all_over_a_large_set(small_windows):
    first = next(epoch_windows(4000, batch_size=10, generator=generator()))
    assert len(first) == 64
    assert np.ptp(first) > 2000
    assert (np.diff(first) == 1).sum() < 10


def test_epoch_windows_hold_a_whole_batch(small_windows):
    (only,) = epoch_windows(100, batch_size=100, generator=generator())
    assert len(only) == 100


def test_shuffled_batches_differ_from_epoch_to_epoch(small_windows):
    found = all_batches(LabelledFeatures.of(np.ones((30, 2), np.float32)), batch_size=30)
    assert len(found) == 2
    assert not np.array_equal(found[0][0], found[1][0])


def test_shuffled_batches_bring_the_rows_they_name(small_windows):
    features = np.arange(403, dtype=np.float32)[:, None]
    for rows, batch in all_batches(LabelledFeatures.of(features)):
        np.testing.assert_array_equal(batch[:, 0], rows)


def test_shuffled_batches_from_disk_are_those_in_memory(small_windows, tmp_path):
    features = np.random.default_rng(0).normal(size=(403, 3)).astype(np.float16)
    places = np.random.default_rng(1).permutation(403)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        stored = np.empty_like(features)
        stored[places] = features
        dataset = file.create_dataset("features", data=stored)
        streamed = LabelledFeatures((_Columns(dataset, places, "f.h5"),), 403)
        pairs = zip(all_batches(LabelledFeatures.of(features)), all_batches(streamed), strict=True)
        for (rows, batch), (other_rows, other) in pairs:
            np.testing.assert_array_equal(rows, other_rows)
            assert torch.equal(batch, other)


def test_shuffled_batches_hand_on_what_reading_raises(small_windows):
    class Broken:
        shape, dtype = (100, 2), np.float32

        def __getitem__(self, rows):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        all_batches(LabelledFeatures((_Columns(Broken(), None, "broken"),), 100))
