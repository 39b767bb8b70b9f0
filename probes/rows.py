"""Rows of feature files in the order of a label table: held in memory, or streamed where they are larger than that.

Both ways give the same numbers; they differ in where the rows wait. Several files stand side by side (a
concatenation of sources) without a copy of either.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.data.feature_file import read_meta
from hage_transfer.data.h5_file import open_h5, text_rows
from hage_transfer.errors import DataError

CHUNK_ROWS = 2048
GIB = 2**30


@dataclass(frozen=True)
class _Columns:
    """Features of one file.

    Attributes:
        values: an array, or an open h5 dataset.
        places: a label's row to its row in ``values``; None where the order is the same.
        name: for messages.
    """

    values: np.ndarray | h5py.Dataset
    places: Int[np.ndarray, " row"] | None
    name: str


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of labelled rows, from one or several files side by side."""

    columns: tuple[_Columns, ...]
    n_rows: int

    @classmethod
    def of(cls, features: "LabelledFeatures | Float[np.ndarray, 'row feature']") -> "LabelledFeatures":
        """Rows that are in memory already."""
        if isinstance(features, LabelledFeatures):
            return features
        return cls((_Columns(features, None, "features"),), len(features))

    @property
    def n_features(self) -> int:
        """Width of a row: the sum of the files' widths."""
        return sum(int(part.values.shape[1]) for part in self.columns)

    def stored(self, rows: Int[np.ndarray, " chosen"]) -> list[np.ndarray]:
        """The chosen rows as the files store them (float16 stays so), one array a file, in the order of ``rows``."""
        return [_pick(part, rows) for part in self.columns]

    def take(self, rows: Int[np.ndarray, " chosen"]) -> Float[Tensor, "chosen feature"]:
        """The chosen rows as float32 on the CPU, in the order of ``rows``."""
        return as_float32(self.stored(rows))

    def chunks(self, *, size: int = CHUNK_ROWS) -> Iterator[tuple[slice, Float[Tensor, "chunk feature"]]]:
        """All rows in order, ``size`` at a time."""
        for start in range(0, self.n_rows, size):
            rows = np.arange(start, min(start + size, self.n_rows))
            yield slice(start, int(rows[-1]) + 1), self.take(rows)

    def refuse_not_finite(self, place: slice) -> None:
        """Names the file and the first row among ``place`` that hold NaN or infinity.

        Raises:
            DataError: there is one.
        """
        rows = np.arange(place.start, place.stop)
        for part in self.columns:
            wrong = ~np.isfinite(_pick(part, rows)).all(axis=1)
            if wrong.any():
                row = int(rows[np.argmax(wrong)])
                own_row = row if part.places is None else int(part.places[row])
                raise DataError(f"{part.name}: row {own_row} holds NaN or infinity; encode it again")


def as_float32(parts: Sequence[np.ndarray]) -> Float[Tensor, "row feature"]:
    """Stored rows of several files, side by side in float32."""
    if len(parts) == 1:
        return torch.from_numpy(np.ascontiguousarray(parts[0])).float()
    return torch.cat([torch.from_numpy(np.ascontiguousarray(part)).float() for part in parts], dim=1)


@contextmanager
def open_rows(paths: Sequence[Path], keys: np.ndarray, *, memory_gib: float) -> Iterator[LabelledFeatures]:
    """Opens feature files for reading by the rows of a label table.

    Args:
        paths: feature files whose columns stand side by side.
        keys: of the labels; each file has exactly these keys, in any order.
        memory_gib: files that are larger together are streamed instead of read.

    Raises:
        DataError: a file that is missing, unreadable, without keys, or with other keys than the labels.
    """
    with ExitStack() as stack:
        datasets, places = [], []
        for path in paths:
            read_meta(path)
            file = stack.enter_context(open_h5(path))
            datasets.append(file["features"])
            places.append(_places(file, keys, path=path))
        size = sum(dataset.size * dataset.dtype.itemsize for dataset in datasets)
        in_memory = size <= memory_gib * GIB
        parts = [
            _Columns(dataset[...] if in_memory else dataset, place, str(path))
            for dataset, place, path in zip(datasets, places, paths, strict=True)
        ]
        yield LabelledFeatures(tuple(parts), len(keys))


def _places(file: h5py.File, keys: np.ndarray, *, path: Path) -> Int[np.ndarray, " row"] | None:
    if "keys" not in file:
        raise DataError(f"{path}: has no keys, so its rows cannot be matched to labels; encode the patches again")
    if h5py.check_string_dtype(file["keys"].dtype) is None:
        raise DataError(f"{path}: its keys are {file['keys'].dtype}, wanted text; encode the patches again")
    own = text_rows(path, file["keys"])
    n_rows = len(file["features"])
    if len(own) != n_rows:
        raise DataError(f"{path}: {len(own)} keys for {n_rows} rows of features; encode the patches again")
    if n_rows == len(keys) and np.array_equal(own, keys):
        return None
    place = {key: row for row, key in enumerate(own.tolist())}
    missing = [key for key in keys.tolist() if key not in place]
    extra = len(place) - (len(keys) - len(missing))
    twice = n_rows - len(place)
    if missing or extra or twice:
        raise DataError(
            f"{path}: its keys are not those of the labels: {len(missing)} of {len(keys)} labelled keys are missing"
            + (f" (first: {missing[0]})" if missing else "")
            + f", {extra} have no label, {twice} are there twice; encode the patches and their labels together"
        )
    return np.array([place[key] for key in keys.tolist()], dtype=np.int64)


def _pick(part: _Columns, rows: np.ndarray) -> np.ndarray:
    wanted = rows if part.places is None else part.places[rows]
    if isinstance(part.values, np.ndarray):
        if len(wanted) and wanted[-1] - wanted[0] == len(wanted) - 1 and bool((np.diff(wanted) == 1).all()):
            return part.values[wanted[0] : wanted[-1] + 1]
        return part.values.take(wanted, axis=0)
    return _pick_from_disk(part.values, wanted)


def _pick_from_disk(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Rows of an h5 dataset in any order, read as the runs of neighbours that they hold."""
    out = np.empty((len(rows), dataset.shape[1]), dtype=dataset.dtype)
    if not len(rows):
        return out
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    starts = np.flatnonzero(np.diff(ascending, prepend=ascending[0] - 2) != 1)
    ends = np.append(starts[1:], len(rows))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        out[order[start:end]] = dataset[int(ascending[start]) : int(ascending[end - 1]) + 1]
    return out
