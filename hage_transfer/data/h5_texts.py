"""Texts of any length in h5 files: what HDF5 would take memory for, or walk through without end, is refused before.

Such a text lies in a collection ("global heap"); where it belongs there is a reference of 16 bytes: its length, its
collection, its number there. HDF5 takes memory for the length before it looks at the text. It knows damage by itself in
object headers of version 2, which have checksums; those of version 1 are looked through here.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import h5py
import imagecodecs
import numpy as np

from hage_transfer.errors import DataError

_REFERENCE = np.dtype([("length", "<u4"), ("collection", "<u8"), ("number", "<u4")])
_LAYOUT, _ATTRIBUTE, _CONTINUED, _SHARED = 0x08, 0x0C, 0x10, 0x02  # kinds of messages; the last is a flag of theirs
_ANY_LENGTH = 9  # class of a type
_AT_ONCE = 1 << 20


def check_attributes(path: Path, node: h5py.Group) -> None:
    """Looks at the attributes of a group and of all below it.

    Raises:
        DataError: a text's length is not that of what is stored, or the texts' collection is damaged.
    """
    owners = {"/": h5py.h5o.get_info(node.id).addr}

    def add(name: bytes, info: h5py.h5o.ObjInfo) -> None:
        owners[name.decode("utf-8", "replace")] = info.addr

    h5py.h5o.visit(node.id, add, info=True)  # none is opened: in a file of few rows that is half of all
    with _opened(path, node) as stored:
        for owner, address in owners.items():
            for kind, message in stored.messages(address):
                if kind == _ATTRIBUTE:
                    stored.check_attribute(owner, message)


def check_values(path: Path, found: h5py.Dataset) -> None:
    """Looks at a dataset of texts (or lists) of any length; other datasets, and those packed in rare ways, pass.

    Raises:
        DataError: see ``check_attributes``.
    """
    kind = found.id.get_type()
    if found.shape is None or not found.size:
        return
    if kind.get_class() == h5py.h5t.VLEN:
        unit = kind.get_super().get_size()
    elif kind.get_class() == h5py.h5t.STRING and kind.is_variable_str():
        unit = 1
    else:
        return
    with _opened(path, found) as stored:
        total = sum(stored.check(found.name, part, unit) for part in stored.references(found))
    if total > path.stat().st_size:
        raise _damaged(path, found.name)


@contextmanager
def _opened(path: Path, node: h5py.Group | h5py.Dataset) -> "Iterator[_Stored]":
    with path.open("rb") as file:
        yield _Stored(path, file, node.file.userblock_size)


@dataclass(frozen=True)
class _Stored:
    """Bytes of an h5 file; addresses count from the end of its user block."""

    path: Path
    file: BinaryIO
    start: int
    collections: dict[int, dict[int, int]] = field(default_factory=dict)

    def read(self, address: int, size: int) -> bytes:
        self.file.seek(self.start + address)
        return self.file.read(size)

    def messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """Kind and content of each message of an object header of version 1."""
        head = self.read(address, 16)
        if len(head) < 16 or head[0] != 1:
            return
        parts, seen = [(address + 16, int.from_bytes(head[8:12], "little"))], set()
        while parts:
            part = parts.pop()
            if part in seen:
                continue
            seen.add(part)
            data, at = self.read(*part), 0
            while at + 8 <= len(data):
                kind, size, flags = struct.unpack_from("<HHB", data, at)
                message = data[at + 8 : at + 8 + size]
                if kind == _CONTINUED and size >= 16:
                    parts.append(struct.unpack_from("<QQ", message))
                elif not flags & _SHARED:
                    yield kind, message
                at += 8 + size

    def check_attribute(self, owner: str, message: bytes) -> None:
        """An attribute: version, length of its name, type and shape, these three, then the values."""
        if len(message) < 8:
            return
        version, *sizes = struct.unpack_from("<BxHHH", message)
        step = 8 if version == 1 else 1
        at, parts = 9 if version == 3 else 8, []
        for size in sizes:
            parts.append(message[at : at + size])
            at += -(-size // step) * step
        name, kind, _ = parts
        if len(kind) >= 16 and kind[0] & 15 == _ANY_LENGTH:
            unit = 1 if kind[1] & 15 else int.from_bytes(kind[12:16], "little")
            what = f"attribute {name.split(bytes(1))[0].decode('utf-8', 'replace')}"
            values = np.frombuffer(message[at : at + (len(message) - at) // 16 * 16], _REFERENCE)
            self.check(what if owner == "/" else f"{owner.lstrip('/')}, {what}", values, unit)

    def references(self, found: h5py.Dataset) -> Iterator[np.ndarray]:
        """References of a dataset's values, a piece of it at a time."""
        size = math.prod(found.shape) * _REFERENCE.itemsize
        offset = found.id.get_offset()
        if found.chunks is not None:
            yield from _of_chunks(found)
        elif offset is not None:
            yield np.frombuffer(self.read(offset - self.start, size), _REFERENCE)
        else:
            for kind, message in self.messages(h5py.h5o.get_info(found.id).addr):
                if kind == _LAYOUT and message[1:2] == b"\0" and len(message) >= 4 + size:  # in the header itself
                    yield np.frombuffer(message[4 : 4 + size], _REFERENCE)

    def check(self, what: str, references: np.ndarray, unit: int) -> int:
        """Sum of the bytes that texts take, each of which is there."""
        total = 0
        for length, collection, number in references.tolist():
            if length and length * unit > self.lengths(what, collection).get(number, 0):
                raise _damaged(self.path, what)
            total += length * unit
        return total

    def lengths(self, what: str, address: int) -> dict[int, int]:
        """Number and length of each text of a collection; a free part (0) of no length would not move HDF5 on."""
        if address in self.collections:
            return self.collections[address]
        data = self.read(address, 16)
        end = int.from_bytes(data[8:16], "little")
        if data[:4] != b"GCOL" or self.start + address + end > self.path.stat().st_size:
            raise _damaged(self.path, what)
        data, found, at = self.read(address, min(end, _AT_ONCE)), {}, 16
        while at + 16 <= end:
            head = data[at : at + 16] if at + 16 <= len(data) else self.read(address + at, 16)
            number, length = struct.unpack("<H6xQ", head)
            if number == 0 and length < 16:
                raise _damaged(self.path, what)
            at += length if number == 0 else 16 + (length + 7) // 8 * 8
            found[number] = length if at <= end else 0
        self.collections[address] = found
        return found


def _of_chunks(found: h5py.Dataset) -> Iterator[np.ndarray]:
    """References in the pieces of a dataset, without those past its shape."""
    size = math.prod(found.chunks) * _REFERENCE.itemsize
    places: list[tuple[int, ...]] = []
    found.id.chunk_iter(lambda piece: places.append(piece.chunk_offset))
    for place in places:
        mask, packed = found.id.read_direct_chunk(place)
        data = _unpacked(packed, found.id.get_create_plist(), mask, size)
        if data is not None and len(data) == size:
            inside = tuple(slice(0, side - first) for side, first in zip(found.shape, place, strict=True))
            yield np.frombuffer(data, _REFERENCE).reshape(found.chunks)[inside].ravel()


def _unpacked(data: bytes | bytearray, made: h5py.h5p.PropDCID, mask: int, size: int) -> bytes | bytearray | None:
    """A piece without its filters; None where one is not of HDF5 or h5py."""
    for number in reversed(range(made.get_nfilters())):
        code, _, values, _ = made.get_filter(number)
        if mask >> number & 1:
            continue
        if code == h5py.h5z.FILTER_DEFLATE:
            data = zlib.decompressobj().decompress(data, size)
        elif code == h5py.h5z.FILTER_LZF:
            data = imagecodecs.lzf_decode(data, out=size)
        elif code == h5py.h5z.FILTER_SHUFFLE and values and len(data) % values[0] == 0:
            data = np.frombuffer(data, np.uint8).reshape(values[0], -1).T.tobytes()
        else:
            return None
    return data


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: {what.lstrip('/')} declares more text than the file holds, or is damaged where that lies; copy or "
        "make it again"
    )
