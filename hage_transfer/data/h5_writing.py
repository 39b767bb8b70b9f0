"""H5 files of our own, written: whole or not at all, and a disk that is full is an error like any other.

HDF5 keeps what a write did not get rid of, tries again when it closes, and ends the process where that fails too. So it
writes through ``_Backing``, which never fails: what the disk does not take is kept in memory until the file is closed,
and an interrupt that meets it is told afterwards.
"""

import io
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import h5py

from hage_transfer.running.atomic import atomic_path

if TYPE_CHECKING:
    from anndata import AnnData


class _Backing(io.FileIO):
    """The bytes of an h5 file.

    Attributes:
        fault: why the disk took no more; None while it takes all.
        interrupts: that came while HDF5 was at work here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.fault: OSError | None = None
        self.interrupts: list[Callable[[], Any]] = []
        self._kept: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        """Writes all of it, or keeps it."""
        part, start = memoryview(data).cast("B"), self.tell()
        done = 0
        try:
            while self.fault is None and done < len(part):
                done += super().write(part[done:]) or 0
        except OSError as error:
            self.fault = error
        if self.fault is not None:
            self._kept.append((start, bytes(part)))
            self.seek(start + len(part))
        return len(part)

    def readinto(self, buffer: Any) -> int:
        """Reads what was written or kept."""
        part, start = memoryview(buffer).cast("B"), self.tell()
        found = super().readinto(part) or 0
        if self.fault is None:
            return found
        part[found:] = bytes(len(part) - found)
        for place, data in self._kept:
            low, high = max(place, start), min(place + len(data), start + len(part))
            if low < high:
                part[low - start : high - start] = data[low - place : high - place]
        self.seek(start + len(part))
        return len(part)

    def truncate(self, size: int | None = None) -> int:
        """Makes it as long as HDF5 wants it, as far as the disk gives that."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.fault = self.fault or error
            return size or 0

    def refuse(self) -> None:
        """Raises what was kept from HDF5: an interrupt, or ``fault``."""
        while self.interrupts:
            self.interrupts.pop()()
        if self.fault is not None:
            raise self.fault


class _NewFile(h5py.File):
    """An h5 file whose ``flush`` says that the disk is full, or that there was an interrupt."""

    def __init__(self, backing: _Backing) -> None:
        super().__init__(backing, "w")
        self._backing = backing

    def flush(self) -> None:
        super().flush()
        self._backing.refuse()


@contextmanager
def new_h5(path: Path) -> Iterator[h5py.File]:
    """An h5 file to fill, which appears as ``path`` once it is whole; see ``atomic_path``.

    Who writes many blocks calls ``flush`` after each, to learn of a full disk before the last.

    Raises:
        OSError: the disk does not take it; it names ``path``.
    """
    with atomic_path(path) as temporary, _Backing(temporary) as backing:
        try:
            with _interrupts_kept_by(backing), _NewFile(backing) as file:
                yield file
        finally:
            backing.refuse()


@contextmanager
def _interrupts_kept_by(backing: _Backing) -> Iterator[None]:
    before, told = signal.getsignal(signal.SIGINT), (_Backing.write, _Backing.readinto, _Backing.truncate)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    codes = {method.__code__ for method in told}

    def handle(number: int, frame: FrameType | None) -> None:
        above = frame
        while above is not None and above.f_code not in codes:
            above = above.f_back
        if above is None:
            before(number, frame)
        else:
            backing.interrupts.append(partial(before, number, frame))

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def new_h5ad(path: Path, table: "AnnData") -> Iterator[h5py.File]:
    """An AnnData file with ``table`` in it, to add to; see ``new_h5``."""
    from anndata.io import write_elem

    table.strings_to_categoricals()
    with new_h5(path) as file:
        write_elem(file, "/", table)
        yield file


def write_h5ad(path: Path, table: "AnnData") -> None:
    """Writes an AnnData file; see ``new_h5``."""
    with new_h5ad(path, table):
        pass
