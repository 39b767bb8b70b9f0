"""H5 files that others made, opened with care: what a file links to, declares or never wrote is refused by name."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hage_transfer.damage import reading
from hage_transfer.data.h5_texts import check_attributes, check_values
from hage_transfer.errors import DataError
from hage_transfer.running.memory import available_bytes

if TYPE_CHECKING:
    from anndata import AnnData

_PACKED, _ALWAYS_BYTES = 64, 1 << 26
_GIB = 1 << 30
_DEFLATED = 1100  # bytes that zlib can make of one, of what is all alike


@contextmanager
def open_h5(
    path: Path,
    *,
    absent: str = "no such file",
    what: str = "cannot be read as h5",
    remedy: str = "copy or make it again",
) -> Iterator[h5py.File]:
    """Opens an h5 file for reading; what h5py raises while it is read becomes one message.

    Args:
        path: of the file.
        absent: what the message says where there is none.
        what: it says where it cannot be read.
        remedy: what to do then.

    Raises:
        DataError: missing, not h5, or damaged where it is read.
    """
    if not path.is_file():
        raise DataError(f"{path}: {absent}")
    with reading(path, what, remedy=remedy), h5py.File(path, "r") as file:
        check_attributes(path, file)
        yield file


def stored_dataset(path: Path, file: h5py.File, name: str, *, kinds: str) -> h5py.Dataset | None:
    """A dataset whose values lie in this very file and are all there; None where the file has none of this name.

    Args:
        path: of the file, for messages.
        file: open.
        name: of the dataset.
        kinds: numpy's letters of the types that will do (``f``, ``iuf``), ``T`` for text.

    Raises:
        DataError: a link, a group, values in other files, another type, no values, or more declared than is stored.
    """
    link = file.get(name, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
        raise DataError(f"{path}: {name} is a link to {link.path}, not data of this file; copy the data into it")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path}: {name} is a group, wanted a dataset; make the file again")
    _refuse_elsewhere(path, name, found)
    _check_type(path, name, found, kinds)
    _check_stored(path, name, found)
    return found


def check_below(path: Path, node: h5py.Group | h5py.Dataset) -> None:
    """Looks at all values at and below a node that a library is to read: in this file, and no more than it holds.

    Raises:
        DataError: a link to another file, values in other files, more declared than is stored or than fits into memory,
            or text that is damaged.
    """
    found: list[h5py.Group | h5py.Dataset] = [node]
    if isinstance(node, h5py.Group):
        node.visititems(lambda _, below: found.append(below))
    for one in found:
        if isinstance(one, h5py.Group):
            for name in one:
                refuse_external(path, one, name)
        elif isinstance(one, h5py.Dataset) and one.shape is not None:
            _refuse_elsewhere(path, one.name.lstrip("/"), one)
            _check_declared(path, one.name.lstrip("/"), one, packed=_DEFLATED)
            check_memory(path, math.prod(one.shape) * one.dtype.itemsize, what=one.name.lstrip("/"), remedy="")
            check_values(path, one)


def read_h5ad(path: Path, *, what: str = "cannot be read as AnnData", remedy: str = "") -> "AnnData":
    """Reads a whole h5ad file.

    Args:
        path: of the file.
        what: a message says where it cannot be read.
        remedy: what to do then.

    Raises:
        DataError: see ``open_h5`` and ``check_below``, or not in AnnData's form.
    """
    import anndata
    from anndata._io.specs.registry import IORegistryError

    with open_h5(path, what=what, remedy=remedy) as file:
        check_below(path, file)
    with reading(path, what, IORegistryError, remedy=remedy), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's, that a file is old, and pandas's of anndata
        return anndata.read_h5ad(path)


def refuse_external(path: Path, group: h5py.Group, name: str) -> None:
    """Refuses a link to another file.

    Raises:
        DataError: it is one.
    """
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise DataError(f"{path}: {name} is a link to {link.filename}, not data of this file; copy the data into it")


def _refuse_elsewhere(path: Path, name: str, found: h5py.Dataset) -> None:
    if found.external or found.is_virtual:
        raise DataError(
            f"{path}: {name} lies in other files than this one, which are not opened; copy the data into it"
        )


def text_rows(path: Path, found: h5py.Dataset) -> np.ndarray:
    """All values of a dataset of text.

    Raises:
        DataError: bytes that are no UTF-8, or lengths that the file does not hold.
    """
    check_values(path, found)
    try:
        values: np.ndarray = found.asstr()[...]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {found.name.lstrip('/')} hold bytes that are no UTF-8 ({error.reason})") from None
    return values


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as plain values; those that are not set (TRIDENT writes the text None) are left out."""
    plain = {name: _plain(value) for name, value in attributes.items()}
    return {name: value for name, value in plain.items() if not (value is None or value == "None")}


def check_memory(path: Path, n_bytes: int, *, what: str = "its rows", remedy: str = ", or cut larger tiles") -> None:
    """Refuses what does not fit into the memory that is free.

    Raises:
        DataError: see above.
    """
    free = available_bytes()
    if free is not None and n_bytes > free:
        raise DataError(
            f"{path}: {what} take {n_bytes / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB of memory are free; use a "
            f"machine with more{remedy}"
        )


def _check_type(path: Path, name: str, found: h5py.Dataset, kinds: str) -> None:
    text = "T" in kinds and h5py.check_string_dtype(found.dtype) is not None
    if not text and found.dtype.kind not in kinds.replace("T", ""):
        kind = "text" if h5py.check_string_dtype(found.dtype) is not None else found.dtype
        wanted = "text" if kinds == "T" else "float32 or float16" if kinds == "f" else "numbers"
        raise DataError(f"{path}: {name} of type {kind}, wanted {wanted}; encode it again")


def _check_stored(path: Path, name: str, found: h5py.Dataset) -> None:
    """What is not there would be read as zeros."""
    if found.shape is None:
        raise DataError(f"{path}: {name} holds no values (a null dataspace); make the file again")
    _check_declared(path, name, found, packed=_PACKED, whole=True)
    if found.chunks is not None and found.size:
        sides = zip(found.shape, found.chunks, strict=True)
        written, places = found.id.get_num_chunks(), math.prod(-(-side // step) for side, step in sides)
        if written < places:
            raise DataError(f"{path}: {written} of {places} pieces of {name} were written; make the file again")


def _check_declared(path: Path, name: str, found: h5py.Dataset, *, packed: int, whole: bool = False) -> None:
    """Declared size against the bytes that the file holds, of which one may stand for ``packed``."""
    declared = math.prod(found.shape) * found.dtype.itemsize
    stored = found.id.get_storage_size()
    largest = max(declared, 0 if found.chunks is None else math.prod(found.chunks) * found.dtype.itemsize)
    nothing = whole and declared and not stored
    if stored > path.stat().st_size or nothing or largest > max(_ALWAYS_BYTES, packed * stored):
        raise DataError(
            f"{path}: {name} declares shape {found.shape}, {largest:,} bytes, and the file holds {stored:,} of them; "
            "is it whole? make it again"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
