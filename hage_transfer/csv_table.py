"""Csv tables that a user wrote, opened in one way: by header, whatever its spaces, with errors that name the file."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.errors import DataError


@dataclass(frozen=True)
class CsvTable:
    """A table that is open.

    Attributes:
        columns: of its header, without spaces around them; empty for an empty file.
        rows: line number and cells by column, read as they are asked for.
    """

    columns: list[str]
    rows: Iterator[tuple[int, dict[str, str]]]


def is_plain_name(name: str) -> bool:
    """Whether a name from a table can be a file's or folder's own name, and never a way out of its folder."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


@contextmanager
def csv_table(path: Path, *, absent: str, kind: str = "csv") -> Iterator[CsvTable]:
    """Opens a table.

    Args:
        path: of the table.
        absent: what the message says where there is no such file.
        kind: what the message says that it cannot be read as.

    Raises:
        DataError: no such file, or while it is read: not text, or not csv.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, restval="")
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            yield CsvTable(columns, ((reader.line_num, row) for row in reader))
    except FileNotFoundError:
        raise DataError(f"{path}: {absent}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as {kind}: {error}") from None
