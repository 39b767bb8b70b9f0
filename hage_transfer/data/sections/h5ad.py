"""An h5ad file element by element, from anndata 0.6 to today: only what a section needs is read.

So a file that a later anndata wrote, with an element that this one does not know, is read where that element is not
wanted; and pictures of gigabytes in ``uns`` are left where they are.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy

from hage_transfer.damage import reading
from hage_transfer.data.h5_file import check_below, open_h5, refuse_external
from hage_transfer.errors import DataError

_MISSING = -1
_ENTRIES = 2**24
EXACT_IN_HALF = 2048


@dataclass(frozen=True)
class H5adFile:
    """An open file; methods raise a DataError that names file and element where that is not in its form."""

    path: Path
    root: h5py.File
    _indexes: dict[str, pd.Index] = field(default_factory=dict)

    def element(self, key: str) -> Any:
        """The element at a path such as ``uns/spatial``; None where there is none."""
        with self._faults(key):
            return _read_elem(self._checked(key)) if self._has(key) else None

    def keys(self, key: str) -> list[str]:
        """Names in a group, or of the columns of a table of anndata 0.6; [] where there is neither."""
        with self._faults(key):
            node = self.root.get(key)
            if isinstance(node, h5py.Dataset):
                return [] if node.dtype.names is None else list(node.dtype.names)
            return [] if node is None else [str(name) for name in node]

    def groups(self, key: str) -> list[str]:
        """Names of the groups in a group, without the values beside them; [] where there is none."""
        with self._faults(key):
            return [name for name in self.keys(key) if isinstance(self.root[key].get(name), h5py.Group)]

    def index(self, table: str) -> pd.Index:
        """Row names of ``obs``, ``var`` or ``raw/var``."""
        if table not in self._indexes:
            self._indexes[table] = self._read_index(table)
        return self._indexes[table]

    def _read_index(self, table: str) -> pd.Index:
        with self._faults(table):
            node = self.root[table]
            if isinstance(node, h5py.Dataset):
                names = self._checked(table)[()][next(name for name in node.dtype.names if name in ("index", "_index"))]
            else:
                names = _read_elem(self._checked(f"{table}/{node.attrs.get('_index', '_index')}"))
            return pd.Index([_text(name) for name in np.asarray(names)])

    def column(self, table: str, name: str) -> pd.Series | None:
        """A column of a table; None where there is none."""
        with self._faults(f"{table}/{name}"):
            node, key = self.root[table], f"{table}/{name}"
            if isinstance(node, h5py.Dataset):
                if name not in node.dtype.names:
                    return None
                values = self._legacy_categories(name, np.asarray(self._checked(table)[name]))
            elif not self._has(key):
                return None
            elif "categories" in node[name].attrs:  # anndata 0.7: codes that refer to a list beside them
                values = _of_codes(
                    self._checked(key)[()], _read_elem(self._checked(self.root[node[name].attrs["categories"]].name))
                )
            else:
                values = _read_elem(self._checked(key))
            column = pd.Series(values)
        if len(column) != len(self.index(table)):
            raise DataError(
                f"{self.path}: {table}[{name!r}] has {len(column)} values for {len(self.index(table))} rows"
            )
        if column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(object).map(_text)
        return column

    def matrix(
        self, key: str, shape: tuple[int, int], rows: np.ndarray | None = None
    ) -> "scipy.sparse.csr_matrix | None":
        """A matrix as csr, or the ``rows`` (a mask) of it; None where there is none, or an empty one (``X=None``).

        What lies row by row is read so: memory is that of the rows, whatever else the file holds.
        """
        with self._faults(key):
            if not self._has(key):
                return None
            found = _by_rows(self._checked(key))
            if found is None or getattr(found, "shape", None) == ():
                return None
            if tuple(found.shape) != shape:
                raise DataError(f"{self.path}: {key} is {tuple(found.shape)}, obs and var are {shape}")
            if scipy.sparse.issparse(found):
                found.check_format()  # scipy reads past the end of what is not in its form
            matrix = _some_rows(found, np.ones(shape[0], dtype=bool) if rows is None else rows)
            if found.dtype == np.float16 and matrix.data.max(initial=0) > EXACT_IN_HALF:
                raise DataError(
                    f"{self.path}: {key} is in half precision (float16), which rounds what is above "
                    f"{EXACT_IN_HALF}, and holds {matrix.data.max():g}; write it as whole numbers or float32"
                )
            matrix.check_format()
        return matrix

    def array(self, group: str, name: str) -> np.ndarray | None:
        """An array of a mapping such as ``obsm``; None where there is none."""
        with self._faults(f"{group}/{name}"):
            node = self.root.get(group)
            if isinstance(node, h5py.Dataset):
                return np.asarray(self._checked(group)[name]) if name in (node.dtype.names or ()) else None
            return np.asarray(_read_elem(self._checked(f"{group}/{name}"))) if self._has(f"{group}/{name}") else None

    def columns(self, group: str, name: str) -> list[str]:
        """Names of the columns of a table in a mapping such as ``obsm``, as they lie; [] where it is an array."""
        with self._faults(f"{group}/{name}"):
            node = self.root.get(f"{group}/{name}") if isinstance(self.root.get(group), h5py.Group) else None
            return [_text(column) for column in node.attrs.get("column-order", ())] if node is not None else []

    def shape(self, key: str) -> tuple[int, ...] | None:
        """Shape of an array, which is not read; None where there is none."""
        with self._faults(key):
            node = self.root.get(key)
            return tuple(node.shape) if isinstance(node, h5py.Dataset) else None

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A group of ``uns`` as a mapping; {} where there is none, or anything else."""
        found = self.element(key)
        return found if isinstance(found, Mapping) else {}

    def _legacy_categories(self, name: str, values: np.ndarray) -> Any:
        """Anndata 0.6 keeps a column's codes in obs and its categories in uns."""
        key = f"uns/{name}_categories"
        if key not in self.root or not np.issubdtype(values.dtype, np.integer):
            return [_text(value) for value in values] if values.dtype.kind in "SO" else values
        return _of_codes(values, self._checked(key)[()])

    def _has(self, key: str) -> bool:
        """Whether there is such an element; a link to another file on the way to it is refused, not followed."""
        node, parts = self.root, key.strip("/").split("/")
        for place, part in enumerate(parts):
            refuse_external(self.path, node, part)
            if part not in node:
                return False
            node = node[part]
            if not isinstance(node, h5py.Group):
                return place == len(parts) - 1
        return True

    def _checked(self, key: str) -> Any:
        """A node whose values are all there, and which may be read."""
        if not self._has(key):
            raise KeyError(key)
        check_below(self.path, self.root[key])
        return self.root[key]

    @contextmanager
    def _faults(self, key: str) -> Iterator[None]:
        remedy = "if a later anndata wrote it, upgrade anndata or write the file anew"
        what = f"cannot be read as AnnData: {key}"
        from anndata._io.specs.registry import IORegistryError  # slow to load: an empty folder is refused without it

        with reading(self.path, what, IORegistryError, remedy=remedy), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's, that a file is old
            yield


def _read_elem(node: Any) -> Any:
    from anndata.io import read_elem

    return read_elem(node)


def _by_rows(node: Any) -> Any:
    """A matrix that is read by rows as it lies, any other one as it is in memory."""
    from anndata.io import sparse_dataset

    if isinstance(node, h5py.Dataset):
        return node if node.ndim == 2 else _read_elem(node)
    return sparse_dataset(node) if node.attrs.get("encoding-type") == "csr_matrix" else _read_elem(node)


def _some_rows(found: Any, rows: np.ndarray) -> "scipy.sparse.csr_matrix":
    if not isinstance(found, h5py.Dataset):
        return scipy.sparse.csr_matrix(found[rows])
    step = max(1, _ENTRIES // max(1, found.shape[1]))
    dtype = np.dtype(np.float32) if found.dtype == np.float16 else found.dtype  # scipy has no halves
    parts = [slice(start, start + step) for start in range(0, len(rows), step) if rows[start : start + step].any()]
    nothing = scipy.sparse.csr_matrix((0, found.shape[1]), dtype=dtype)
    read = (found[part][rows[part]].astype(dtype, copy=False) for part in parts)
    return scipy.sparse.vstack([nothing, *read], format="csr", dtype=dtype)


@contextmanager
def open_h5ad(path: Path) -> Iterator[H5adFile]:
    """Opens a file and closes it at the end.

    Raises:
        DataError: not HDF5, or without ``obs`` and ``var``.
    """
    with open_h5(path, what="cannot be read as AnnData", remedy="") as file:
        missing = [key for key in ("obs", "var") if key not in file]
        if missing:
            raise DataError(f"{path}: cannot be read as AnnData: no {' and '.join(missing)} in it")
        yield H5adFile(path, file)


def _of_codes(codes: np.ndarray, categories: Any) -> list[Any]:
    names = [_text(name) for name in np.asarray(categories)]
    return [np.nan if code == _MISSING else names[code] for code in codes]


def _text(value: Any) -> Any:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
