"""The text of a table that a user gave: a file, or the one in a zip; not a workbook, and of no absurd size."""

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from hage_transfer.errors import DataError

_MAX_BYTES, _MAX_MEMBER_BYTES = 256 << 20, 100 << 20
_ENCRYPTED = 1
_GZIP = b"\x1f\x8b"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
MEMBER_FAULTS = (
    RuntimeError,
    NotImplementedError,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
"""What zipfile raises on members that are encrypted, damaged, or packed in a way that it has not."""


@contextmanager
def open_text(path: Path, *, zipped: bool) -> Iterator[TextIO]:
    """Opens a table as UTF-8, with or without a byte-order mark.

    Args:
        path: of the table.
        zipped: whether a zip of one table will do.

    Raises:
        DataError: too large, a workbook, packed by gzip, or a zip of several files or of one that is encrypted.
        BadZipFile: a damaged zip.
    """
    if not zipped or path.suffix.lower() != ".zip":
        _refuse_large(path, path.stat().st_size, _MAX_BYTES)
        _refuse_packed(path)
        with path.open(newline="", encoding="utf-8-sig") as handle:
            yield handle
        return
    _refuse_large(path, path.stat().st_size, _MAX_MEMBER_BYTES)
    try:
        archive = zipfile.ZipFile(path)
        member = _only_member(path, archive)
        raw = archive.open(member)
    except MEMBER_FAULTS as error:
        raise zipfile.BadZipFile(str(error)) from None
    with archive, raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        yield text


def _refuse_packed(path: Path) -> None:
    with path.open("rb") as handle:
        start = handle.read(4)
    if start in _WORKBOOKS:
        raise DataError(f"{path}: is a workbook of Excel (xlsx, xls) or a zip; save the sheet as csv (UTF-8)")
    if start.startswith(_GZIP):
        raise DataError(f"{path}: is packed by gzip; unpack it and give the csv")


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file in a zip, that can be read without a password and is no bomb."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise DataError(f"{path}: holds {len(members)} files, wanted one; unpack it and name the one you mean")
    (member,) = members
    if member.flag_bits & _ENCRYPTED:
        raise DataError(f"{path}: {member.filename} in it is encrypted; unpack it and give the csv")
    _refuse_large(path, member.file_size, _MAX_MEMBER_BYTES)
    return member


def _refuse_large(path: Path, size: int, limit: int) -> None:
    if size > limit:
        raise DataError(f"{path}: a table of {size:,} bytes, wanted {limit:,} at most; is it a table?")
