from pathlib import Path

import h5py
import numpy as np
import pytest

from hage_transfer.pretrain.growing_array import GrowingArray, mapped


def stacked(folder: Path, *, in_memory_bytes: int, parts: list[np.ndarray]) -> np.ndarray:
    rows = GrowingArray(folder, in_memory_bytes=in_memory_bytes)
    for part in parts:
        rows.append(part)
    return rows.finish()


@pytest.mark.parametrize("in_memory_bytes", [0, 50, 10_000])
def test_parts_are_stacked_in_order_whether_in_memory_or_in_a_file(tmp_path, in_memory_bytes):
    values = np.arange(60, dtype=np.float32).reshape(20, 3)
    parts = [values[:4], values[4:4], np.asfortranarray(values[4:13]), values[13:]]
    found = stacked(tmp_path / "scratch", in_memory_bytes=in_memory_bytes, parts=parts)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.float32
    assert isinstance(found, np.memmap) == (in_memory_bytes < values.nbytes)


def test_the_file_has_no_name_and_changes_to_its_array_stay_in_memory(tmp_path):
    values = np.ones((5, 2))
    found = stacked(tmp_path, in_memory_bytes=0, parts=[values])
    assert not list(tmp_path.iterdir())
    found[0, 0] = 7
    assert found[0, 0] == 7


@pytest.mark.parametrize("chunks", [None, (2, 3)])
def test_a_dataset_is_given_whole_whether_it_lies_in_one_piece_or_not(tmp_path, chunks):
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_dataset("before", data=np.zeros(5))
        file.create_dataset("values", data=values, chunks=chunks)
    with h5py.File(tmp_path / "file.h5") as file:
        found = mapped(file["values"])
    assert isinstance(found, np.memmap) == (chunks is None)
    np.testing.assert_array_equal(found, values)
