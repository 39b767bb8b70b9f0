"""Whether a file is still the one that was read: by its size and time of change, or by what it holds."""

import hashlib
from pathlib import Path

from hage_transfer.config import file_sha256
from hage_transfer.errors import DataError

_HASHED_BYTES = 64 * 2**20
_GLANCED_BYTES = 2**16


def size_and_time(path: Path) -> tuple[int, int]:
    """Size and time of a file's last change in ns: others where it was written anew, without reading it."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def written(path: Path) -> str:
    """The two as text."""
    return "{} {}".format(*size_and_time(path))


def file_stamp(path: Path) -> str:
    """Size and hash of a file, or size and time of change where it is too large to hash in passing, or a folder."""
    if path.is_dir():
        inside = [one for one in sorted(path.rglob("*")) if one.is_file()]
        told = "\n".join(f"{one} {written(one)}" for one in inside)
        return f"{len(inside)} files {hashlib.sha256(told.encode()).hexdigest()}"
    size, changed = size_and_time(path)
    return f"{size} {file_sha256(path) if size <= _HASHED_BYTES else hashlib.sha256(str(changed).encode()).hexdigest()}"


def glance(path: Path) -> str:
    """Size, time of change and a quick hash: another where a file was replaced while it was read.

    Raises:
        OSError: it is gone.
    """
    if path.is_dir():
        return file_stamp(path)
    size, changed = size_and_time(path)
    found = hashlib.sha256()
    with path.open("rb") as file:
        for start in (0, size // 2, max(0, size - _GLANCED_BYTES)):
            file.seek(start)
            found.update(file.read(_GLANCED_BYTES))
    return f"{size} {changed} {found.hexdigest()}"


def stamp_in_url(path: Path) -> str:
    """Changes when the file does, so that what came of this very file alone is kept, here and in a browser.

    Raises:
        DataError: the file is gone.
    """
    try:
        size, changed = size_and_time(path)
    except OSError as error:
        raise DataError(f"{path}: no such file any more ({error.strerror}); put it back, or make it again") from None
    return hashlib.sha256(f"{path}|{size}|{changed}".encode()).hexdigest()[:16]
