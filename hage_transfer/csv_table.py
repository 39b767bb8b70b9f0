"""Csv tables that a user wrote, opened in one way: by header, whatever its spaces, with errors that name the file."""

import csv
import math
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any, TextIO

from hage_transfer.errors import DataError
from hage_transfer.table_text import MEMBER_FAULTS, open_text

MISSING = frozenset(
    {"nan", "-nan", "na", "<na>", "n/a", "#n/a", "#na", "#n/a n/a", "nat", "null", "1.#qnan", "-1.#ind"}
)
"""How pandas, R, SQL and spreadsheets write a cell that holds nothing, in small letters."""
_PUBLISHED = frozenset(
    {"[not available]", "[not applicable]", "[not evaluated]", "[unknown]", "[discrepancy]"}  # cBioPortal
    | {"--", "'--", "not reported"}  # GDC
    | {"#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!"}  # formulas that failed
)

_FAULTS = (OSError, UnicodeDecodeError, csv.Error, zipfile.BadZipFile)


@dataclass(frozen=True)
class CsvTable:
    """A table that is open.

    Attributes:
        columns: of its header, without spaces around them; empty for an empty file.
        rows: line number and cells by column, without spaces around them, read as they are asked for.
    """

    columns: list[str]
    rows: Iterator[tuple[int, dict[str, str]]]

    def refuse_repeated(self, wanted: Iterable[str], *, path: Path) -> None:
        """Refuses a table that has a column twice, of which only the last would be read.

        Args:
            wanted: columns that are read.
            path: of the table, for the message.

        Raises:
            DataError: one of them is there twice.
        """
        counts = Counter(self.columns)
        twice = sorted({name for name in wanted if counts[name] > 1})
        if twice:
            raise DataError(f"{path}: column {', '.join(twice)} is there twice; keep one")


def is_missing(cell: str) -> bool:
    """Whether a cell is empty, or holds what a program wrote for an empty one (cBioPortal: [Not Available]).

    ``None`` is Python's; ``none`` in small letters may be a class.
    """
    return cell in ("", "None") or cell.casefold() in MISSING | _PUBLISHED


def names_nobody(cell: object) -> bool:
    """Whether a cell that should name a patient ``is_missing``, or says that nobody knows who it is."""
    text = str(cell).strip()
    return is_missing(text) or text.casefold() in ("none", "unknown")


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in case, in what separates their parts, or in zeros beside numbers.

    Spreadsheets and typing make them (7, 07 and 7.0; P1 and p1; A-1 and A_1), and they count as different names; so do
    letters that look alike and are stored in other ways, dashes of other kinds, and what is not seen at all.
    """
    first: dict[str, str] = {}
    found = []
    for name in sorted(set(names)):
        seen = "".join(sign for sign in unicodedata.normalize("NFKC", name) if unicodedata.category(sign) != "Cf")
        plain = re.sub(r"(?<![\d.])0+(?=\d)", "", re.sub(r"^(\d+)\.0+$", r"\1", seen.casefold()))
        met = first.setdefault(re.sub(r"[\s_\u2010-\u2015\u2212-]+", " ", plain), name)
        if met != name:
            found.append((met, name))
    return found


def refuse_missing(
    path: Path, line: int, cells: Mapping[str, str], *, remedy: str = "fill it, or leave the row out"
) -> None:
    """Refuses a row with a cell that ``is_missing``, or that swallowed lines behind it.

    Args:
        path: of the table, for the message.
        line: of the row.
        cells: by the names of their columns.
        remedy: what to do.

    Raises:
        DataError: the first such cells are named.
    """
    empty = [name for name, cell in cells.items() if not cell]
    if empty:
        raise DataError(f"{path}: line {line} has no {' and no '.join(empty)}; {remedy}")
    broken = next((name for name, cell in cells.items() if any("," in more for more in cell.splitlines()[1:])), None)
    if broken:
        raise DataError(
            f"{path}: the row that ends in line {line} has a {broken} of several lines; is a quote not closed, or "
            "closed too late?"
        )
    for name, cell in cells.items():
        if is_missing(cell):
            raise DataError(f"{path}: line {line}: {name} {cell!r} is a missing value that was written out; {remedy}")


def is_plain_name(name: str) -> bool:
    """Whether a name from a table can be a file's or folder's own name, and never a way out of its folder."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


def refuse_in_place(out: Path, table: Path) -> None:
    """Refuses to write a table made from another in that other's place, or in a folder's.

    Raises:
        DataError: see above.
    """
    if out.is_dir():
        raise DataError(f"{out}: is a folder; out= names a file")
    if table.exists() and out.exists() and table.samefile(out):
        raise DataError(f"{out}: is the table itself; out= names another file")


def as_number(text: str | None) -> float | None:
    """A cell as a number; None where it is absent or none (``3_4``, which Python takes for 34), or not finite."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in (text or "") else None


@contextmanager
def csv_table(path: Path, *, absent: str, kind: str = "csv", zipped: bool = False) -> Iterator[CsvTable]:
    """Opens a table.

    Args:
        path: of the table.
        absent: what the message says where there is no such file.
        kind: what the message says that it cannot be read as.
        zipped: whether a zip of one table will do, whatever the table in it is called.

    Raises:
        DataError: no such file, a zip of several, columns between semicolons or tabs (as spreadsheets write them in
            many languages), or while it is read: not text, or not csv.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: cannot be read as {kind}: is a folder, a pipe or a device, wanted a file")
    try:
        with open_text(path, zipped=zipped) as handle:
            lines = _Lines(handle)
            reader = csv.DictReader(lines, restval="")
            columns = _header(path, reader, kind)
            _refuse_open_quote(path, lines)
            _refuse_other_separators(path, columns)
            reader.fieldnames = columns
            yield CsvTable(columns, _rows(path, reader, lines, kind))
    except FileNotFoundError:
        raise DataError(f"{path}: {absent}") from None
    except _FAULTS as error:
        raise _unreadable(path, kind, error) from None


class _Lines:
    """Lines of an open table, those of the row that is being read at hand."""

    def __init__(self, handle: TextIO) -> None:
        self._handle, self.of_row, self.read = handle, list[str](), 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._handle)
        self.of_row.append(line)
        return line


def _refuse_open_quote(path: Path, lines: _Lines) -> None:
    """A quote that is not closed, or behind the end of its cell alone, makes one cell of all rows up to the next."""
    lines.read += len(lines.of_row)
    of_row, lines.of_row = list(dropwhile(str.isspace, lines.of_row)), []  # rows may stand behind empty lines
    if len(of_row) > 1:
        try:
            list(csv.reader(of_row, strict=True))
        except csv.Error:
            first = lines.read - len(of_row) + 1
            raise DataError(
                f"{path}: line {first}: a quote that is not closed makes one row of {len(of_row)} lines; close it, or "
                "write it twice where it belongs to the cell"
            ) from None


def _header(path: Path, reader: "csv.DictReader[str]", kind: str) -> list[str]:
    try:
        names = [name.strip().replace("\n", " ").replace("\r", " ") for name in reader.fieldnames or ()]
    except (*_FAULTS, *MEMBER_FAULTS) as error:
        raise _unreadable(path, kind, error) from None
    _refuse_null(path, 1, names)
    return names


def _rows(path: Path, reader: "csv.DictReader[str]", lines: _Lines, kind: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for row in reader:
            _refuse_open_quote(path, lines)
            _refuse_null(path, reader.line_num, row.values())
            _refuse_more_cells(path, reader, row)
            yield reader.line_num, {name: cell.strip() for name, cell in row.items() if name is not None}
    except (*_FAULTS, *MEMBER_FAULTS) as error:
        raise _unreadable(path, kind, error) from None


def _refuse_null(path: Path, line: int, cells: Iterable[Any]) -> None:
    if any("\0" in cell for cell in cells if isinstance(cell, str)):
        raise DataError(f"{path}: line {line} holds a null byte; is it whole? save it as csv again")


def _refuse_more_cells(path: Path, reader: "csv.DictReader[str]", row: Mapping[Any, Any]) -> None:
    """A comma that belongs to a cell would move all cells behind it; empty cells at the end are a spreadsheet's."""
    more = row.get(reader.restkey, ())
    if any(cell.strip() for cell in more):
        n_columns = len(reader.fieldnames or ())
        raise DataError(
            f"{path}: line {reader.line_num} has {n_columns + len(more)} cells, its header {n_columns}: "
            f"{','.join(more)} is left over; put a cell that holds a comma between quotes"
        )


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    remedy = "; save it as csv in UTF-8 (Excel: CSV UTF-8)" if isinstance(error, UnicodeDecodeError) else ""
    return DataError(
        f"{path}: cannot be read as {kind}: {' '.join(str(error).split()) or type(error).__name__}{remedy}"
    )


def _refuse_other_separators(path: Path, columns: list[str]) -> None:
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and separator in columns[0]:
            met = columns[0].replace(separator, " ")
            raise DataError(f"{path}: its columns ({met}) are between {name}; save it as csv with commas")
