"""H5 files that others made, opened with care: what a file links to, declares or never wrote is refused by name."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hage_transfer.damage import reading
from hage_transfer.errors import DataError
from hage_transfer.running.memory import available_bytes

_PACKED, _ALWAYS_BYTES = 64, 1 << 26
_GIB = 1 << 30
_COLLECTION, _HEAD_BYTES, _TAIL_BYTES = b"GCOL\x01\x00\x00\x00", 1 << 18, 1 << 20
_REFERENCE = np.dtype([("length", "<u4"), ("place", "V12")])


@contextmanager
def open_h5(path: Path, *, absent: str = "no such file") -> Iterator[h5py.File]:
    """Opens an h5 file for reading; what h5py raises while it is read becomes one message.

    Args:
        path: of the file.
        absent: what the message says where there is none.

    Raises:
        DataError: missing, not h5, or damaged where it is read.
    """
    if not path.is_file():
        raise DataError(f"{path}: {absent}")
    _refuse_broken_heaps(path)
    with reading(path, "cannot be read as h5", remedy="copy or make it again"), h5py.File(path, "r") as file:
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
    if found.external or found.is_virtual:
        raise DataError(
            f"{path}: {name} lies in other files than this one, which are not opened; copy the data into it"
        )
    _check_type(path, name, found, kinds)
    _check_stored(path, name, found)
    return found


def text_rows(path: Path, found: h5py.Dataset) -> np.ndarray:
    """All values of a dataset of text.

    Raises:
        DataError: bytes that are no UTF-8, or lengths that the file does not hold.
    """
    _check_lengths(path, found)
    try:
        values: np.ndarray = found.asstr()[...]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {found.name.lstrip('/')} hold bytes that are no UTF-8 ({error.reason})") from None
    return values


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as plain values; those that are not set (TRIDENT writes the text None) are left out."""
    plain = {name: _plain(value) for name, value in attributes.items()}
    return {name: value for name, value in plain.items() if not (value is None or value == "None")}


def check_memory(path: Path, n_bytes: int) -> None:
    """Refuses what does not fit into the memory that is free.

    Raises:
        DataError: see above.
    """
    free = available_bytes()
    if free is not None and n_bytes > free:
        raise DataError(
            f"{path}: its rows take {n_bytes / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB of memory are free; use a "
            "machine with more, or cut larger tiles"
        )


def _refuse_broken_heaps(path: Path) -> None:
    """Refuses a file whose text lies in a collection that HDF5 would walk through without end.

    A free part of no length does not move it on. Collections are sought where small metadata lie: at both ends of a
    file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        parts = [(0, file.read(_HEAD_BYTES))]
        if size > _HEAD_BYTES:
            start = max(_HEAD_BYTES, size - _TAIL_BYTES)
            file.seek(start)
            parts.append((start, file.read()))
    for start, data in parts:
        place = data.find(_COLLECTION)
        while place >= 0:
            if not _is_walked(data, place):
                raise DataError(f"{path}: damaged where its text lies (byte {start + place}); copy or make it again")
            place = data.find(_COLLECTION, place + 1)


def _is_walked(data: bytes, place: int) -> bool:
    """Whether each object of a collection ends behind its beginning: index, count, length of 8 bytes, then the text."""
    if place + 16 > len(data):
        return True
    end = place + int.from_bytes(data[place + 8 : place + 16], "little")
    at = place + 16
    while at + 16 <= min(end, len(data)):
        index, length = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 8 : at + 16], "little")
        if index == 0:
            return length >= 16
        at += 16 + (length + 7) // 8 * 8
    return True


def _check_type(path: Path, name: str, found: h5py.Dataset, kinds: str) -> None:
    text = "T" in kinds and h5py.check_string_dtype(found.dtype) is not None
    if not text and found.dtype.kind not in kinds.replace("T", ""):
        kind = "text" if h5py.check_string_dtype(found.dtype) is not None else found.dtype
        wanted = "text" if kinds == "T" else "float32 or float16" if kinds == "f" else "numbers"
        raise DataError(f"{path}: {name} of type {kind}, wanted {wanted}; encode it again")


def _check_stored(path: Path, name: str, found: h5py.Dataset) -> None:
    """Declared size against the bytes that the file holds: what is not there would be read as zeros, or fill memory."""
    if found.shape is None:
        raise DataError(f"{path}: {name} holds no values (a null dataspace); make the file again")
    declared = math.prod(found.shape) * found.dtype.itemsize
    stored = found.id.get_storage_size()
    chunks, places = found.chunks, 1
    largest = declared
    if chunks is not None:
        largest = max(declared, math.prod(chunks) * found.dtype.itemsize)
        places = math.prod(-(-side // step) for side, step in zip(found.shape, chunks, strict=True))
    if stored > path.stat().st_size or (declared and not stored) or largest > max(_ALWAYS_BYTES, _PACKED * stored):
        raise DataError(
            f"{path}: {name} declares shape {found.shape}, {largest:,} bytes, and the file holds {stored:,} of them; "
            "is it whole? make it again"
        )
    if chunks is not None and declared and found.id.get_num_chunks() < places:
        raise DataError(
            f"{path}: {found.id.get_num_chunks()} of {places} pieces of {name} were written; make the file again"
        )


def _check_lengths(path: Path, found: h5py.Dataset) -> None:
    """Refuses text of any length whose lengths together are past the file's size: HDF5 would take memory for them.

    Each value is stored as its length and where it lies (16 bytes); what is packed otherwise goes unchecked.
    """
    offset, count = found.id.get_offset(), math.prod(found.shape)
    stored = found.id.get_storage_size()
    info = h5py.check_string_dtype(found.dtype)
    if info is None or info.length is not None or not count or stored != count * _REFERENCE.itemsize or offset is None:
        return
    with path.open("rb") as file:
        file.seek(offset)
        lengths = np.frombuffer(file.read(stored), _REFERENCE)["length"]
    if int(lengths.sum(dtype=np.uint64)) > path.stat().st_size:
        raise DataError(f"{path}: {found.name.lstrip('/')} declare more text than the file holds; make it again")


def _plain(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
