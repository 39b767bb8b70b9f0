"""Rows of a feature file that is being made: appended batch by batch, so that a killed run goes on where it was.

The file is ``<name>.h5.unfinished``: a first line of JSON that says what the rows are of, then a record a batch (number
of rows and checksum, little-endian uint32 each, then the rows in float32). A record that a kill or a power cut left
torn, and all behind it, is dropped when the file is opened again.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32

from hage_transfer.errors import DataError
from hage_transfer.running.atomic import atomic_path, writing

ENDING = ".unfinished"
_HEAD = struct.Struct("<II")


class FeatureJournal:
    """An open journal.

    Attributes:
        path: its file.
        width: numbers a row.
        rows: rows that are safe in it.
    """

    def __init__(self, target: Path, *, identity: str, width: int) -> None:
        """Opens the journal of the feature file ``target``; one of another identity or width is begun anew.

        What is there is copied first: a worker that stalled and was taken over may still write to the old file.
        """
        self.path, self.width, self.rows = journal_path(target), width, 0
        self._header = json.dumps({"schema_version": 1, "identity": identity, "width": width}).encode() + b"\n"
        with atomic_path(self.path) as temporary, temporary.open("wb") as copy:
            copy.write(self._header)
            for head, data in self._records():
                copy.write(head + data)
                self.rows += _HEAD.unpack(head)[0]
        self._file: BinaryIO = self.path.open("ab")

    def append(self, rows: Float32[np.ndarray, "batch feature"]) -> None:
        """Adds the rows of one batch.

        Raises:
            DataError: NaN or infinity among them.
            OSError: the disk does not take them.
        """
        if not np.isfinite(rows).all():
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            raise DataError(
                f"{len(bad)} of {len(rows)} features hold NaN or infinity (first: row {self.rows + bad[0]}); with "
                "encoder.precision float16 set float32 or bfloat16"
            )
        data = np.ascontiguousarray(rows, dtype="<f4").tobytes()
        with writing(self.path):
            self._file.write(_HEAD.pack(len(rows), zlib.crc32(data)) + data)
            self._file.flush()
        self.rows += len(rows)

    def blocks(self) -> Iterator[Float32[np.ndarray, "batch feature"]]:
        """The rows, a batch at a time."""
        for _, data in self._records():
            yield np.frombuffer(data, dtype="<f4").reshape(-1, self.width)

    def close(self) -> None:
        """Closes the file and leaves it for the next run."""
        with suppress(OSError):  # rows that a full disk did not take: the next run makes them again
            self._file.close()

    def discard(self) -> None:
        """Removes the file: its rows are in the feature file, or of no use."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        """Head and data of each whole record."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            if file.readline() != self._header:
                return
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                rows, checksum = _HEAD.unpack(head)
                data = file.read(rows * self.width * 4)
                if not rows or len(data) != rows * self.width * 4 or zlib.crc32(data) != checksum:
                    return
                yield head, data


def journal_path(target: Path) -> Path:
    """The journal of a feature file."""
    return target.with_name(target.name + ENDING)
