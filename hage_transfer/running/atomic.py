"""Files that appear whole or not at all: temporary name in the same folder, fsync, rename."""

import csv
import errno
import glob
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from hage_transfer.running.machine import is_alive, shared_time, this_machine

TEMPORARY_MARK = ".partial-"
_BLOCK = 1 << 20
_ABANDONED_SECONDS = 3600.0
_count = itertools.count()

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""What a disk says that takes no more, whatever is written: no fault of the item that is at work."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it is flushed to disk and renamed to ``path``.

    On any error, an interrupt included, the temporary file is removed and ``path`` is left as it was.

    Raises:
        OSError: it cannot be written; it names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with writing(path), _with_reason(temporary):
            yield temporary
            flush(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside ``folder``; on success it takes its place, and an earlier one goes.

    On any error it is removed, and ``folder`` is left as it was.

    Raises:
        OSError: it cannot be written; it names ``folder``.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(folder)
    try:
        with writing(folder):
            temporary.mkdir()
            yield temporary
            for path in temporary.rglob("*"):
                if path.is_file():
                    flush(path)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_path(path: Path) -> Path:
    """A name beside ``path`` that tells which process writes there, so that none removes what another is writing."""
    token = f"{_machine_tag()}{os.getpid() << 10 | next(_count) % 1024:08x}"
    return path.with_name(f"{TEMPORARY_MARK}{token}-{path.name}")


def flush(path: Path) -> None:
    """Has the system put a file on the disk."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def reserve(file: IO[bytes], n_bytes: int) -> None:
    """Takes room for a file that will be mapped: where the disk had none later, the system would end the process.

    Raises:
        OSError: there is none (macOS cannot say so).
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)


@contextmanager
def _with_reason(temporary: Path) -> Iterator[None]:
    """Numpy says how much the disk took and not why it took no more."""
    try:
        yield
    except OSError as error:
        if error.errno is None and (why := refused(temporary)) is not None:
            raise why from None
        raise


def refused(path: Path) -> OSError | None:
    """Why the disk took no more of a file, which numpy, torch and safetensors do not say: it is asked once more."""
    try:
        with path.open("ab") as file:
            file.write(bytes(_BLOCK))
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def remove_partial_of(path: Path) -> None:
    """Removes what killed processes left beside a file that they wrote."""
    for leftover in path.parent.glob(f"{TEMPORARY_MARK}*-{glob.escape(path.name)}*"):
        if not _is_being_written(leftover):
            leftover.unlink(missing_ok=True)


def _is_being_written(temporary: Path) -> bool:
    """Whether its writer lives, as far as that is known: of another machine's, where it was touched within the hour."""
    machine, pid = temporary.name[len(TEMPORARY_MARK) :][:4], temporary.name[len(TEMPORARY_MARK) + 4 :][:8]
    try:
        if machine == _machine_tag():
            return is_alive(int(pid, 16) >> 10)
        return int(pid, 16) >= 0 and shared_time(temporary.parent) - temporary.stat().st_mtime < _ABANDONED_SECONDS
    except (ValueError, FileNotFoundError):
        return False


@cache
def _machine_tag() -> str:
    return hashlib.sha256(this_machine().encode()).hexdigest()[:4]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Gives errors the name of the file that they are about: a full disk says none, and a temporary one is no help."""
    try:
        yield
    except OSError as error:
        if error.filename is None or TEMPORARY_MARK in str(error.filename):
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` (UTF-8) to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON to ``path`` atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes ``rows`` under ``columns`` to ``path`` atomically."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)


def remove_partial(folder: Path) -> None:
    """Removes temporary files and folders that a killed process left in ``folder`` or below it, and no others."""
    for leftover in list(folder.rglob(f"{TEMPORARY_MARK}*")):
        if _is_being_written(leftover):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
