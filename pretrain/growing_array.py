"""Rows stacked part by part into one array, in memory while they are few and in an unnamed file once they are many."""

import math
import tempfile
from pathlib import Path
from typing import IO

import h5py
import numpy as np
from jaxtyping import Shaped

IN_MEMORY_BYTES = 128 << 20
"""An array above this is kept in a file and mapped into memory, where the system may drop what is not in use."""


class GrowingArray:
    """An array that grows by parts of one type and width.

    The file has no name: it is gone with the process that made it, however that ends. It lies in ``folder`` and takes
    as much disk as the array would take memory.

    Args:
        folder: where the file is made if there is need for one.
        in_memory_bytes: size up to which there is none; None: ``IN_MEMORY_BYTES``.
    """

    def __init__(self, folder: Path, *, in_memory_bytes: int | None = None) -> None:
        self._folder = folder
        self._limit = IN_MEMORY_BYTES if in_memory_bytes is None else in_memory_bytes
        self._parts: list[np.ndarray] = []
        self._length, self._bytes = 0, 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._length

    def append(self, part: Shaped[np.ndarray, "row ..."]) -> None:
        """Adds rows below those that are there."""
        part = np.ascontiguousarray(part)
        self._length, self._bytes = self._length + len(part), self._bytes + part.nbytes
        if self._file is not None:
            self._file.write(part.data)
            return
        self._parts.append(part)
        if self._bytes > self._limit:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (the mapping outlives this method)
            for kept in self._parts:
                self._file.write(kept.data)
            self._parts = [part[:0]]  # type and width are read off it

    def finish(self) -> Shaped[np.ndarray, "row ..."]:
        """The whole array, writable (changes to a mapped one stay in memory)."""
        if self._file is None:
            return np.concatenate(self._parts)
        self._file.flush()
        kind = self._parts[0]
        with self._file:
            return np.memmap(self._file, dtype=kind.dtype, mode="c", shape=(self._length, *kind.shape[1:]))


def new_array(shape: tuple[int, ...], dtype: type) -> Shaped[np.ndarray, "row ..."]:
    """An array to fill: in memory, or in an unnamed file among the system's temporary ones where it is large."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def mapped(dataset: h5py.Dataset) -> Shaped[np.ndarray, "row ..."]:
    """A dataset's values, mapped from its file where they lie there in one piece, which outlives the open file."""
    offset = dataset.id.get_offset()
    if offset is None:  # in chunks, or empty
        return dataset[...]
    return np.memmap(dataset.file.filename, dtype=dataset.dtype, mode="c", offset=offset, shape=dataset.shape)
