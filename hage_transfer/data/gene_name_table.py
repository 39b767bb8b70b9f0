"""Tables of gene names: csv `alias,symbol`, or HGNC's published table of all human genes."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hage_transfer.data.gene_names import ID_SEPARATOR, GeneNames
from hage_transfer.data.sections.feature_names import is_missing_name
from hage_transfer.errors import DataError, some

if TYPE_CHECKING:
    from _csv import Reader

log = logging.getLogger(__name__)

HGNC_COLUMNS = ("alias_symbol", "prev_symbol", "ensembl_gene_id")
_WANTED = (
    "wanted a csv with the columns alias,symbol, or HGNC's tab-separated table with the columns symbol, alias_symbol, "
    "prev_symbol and ensembl_gene_id"
)


def read_gene_names(path: Path) -> GeneNames:
    """Reads a table of names; its header tells which of the two forms it has.

    Args:
        path: csv `alias,symbol`, one alias a line (an alias may be an Ensembl id), or HGNC's `hgnc_complete_set.txt`:
            tab-separated, a line for each symbol, several aliases separated by `|`.

    Returns:
        Every symbol of the table is current. Aliases that stand for several symbols, and those that are current
        symbols themselves, resolve to nothing else; both are logged.

    Raises:
        DataError: missing, not text, another header, a line of another length, or a name left empty.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            pairs, symbols = _read(path, handle)
    except FileNotFoundError:
        raise DataError(f"{path}: no such table of gene names; {_WANTED}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table of gene names ({error}); {_WANTED}") from None
    if not symbols:
        raise DataError(f"{path}: no gene name in it; {_WANTED}")
    names = GeneNames.of_pairs(pairs, symbols, source=path.name)
    log.info("%s: %d symbols, %d other names for them", path.name, len(names.symbols), len(names.aliases))
    shared = [f"{alias} ({' or '.join(found)})" for alias, found in names.aliases.items() if len(found) > 1]
    if shared:
        log.info("%d names stand for several symbols, so they are resolved to none: %s", len(shared), some(shared, 3))
    own = [f"{alias} (of {symbol})" for alias, symbol in pairs if alias in names.symbols and alias != symbol]
    if own:
        log.info("%d aliases are symbols of other genes, so they are not resolved: %s", len(own), some(own, 3))
    return names


def _read(path: Path, handle: TextIO) -> tuple[list[tuple[str, str]], set[str]]:
    """(alias, symbol) pairs, and the current symbols."""
    header = handle.readline().rstrip("\r\n")
    delimiter = "\t" if "\t" in header else ","
    columns = [column.strip().strip('"') for column in header.split(delimiter)]
    twice = [column for column in ("alias", "symbol", *HGNC_COLUMNS) if columns.count(column) > 1]
    if twice:
        raise DataError(f"{path}: column {', '.join(twice)} is there twice; keep one")
    rows = _rows(path, csv.reader(handle, delimiter=delimiter), columns)
    if {"alias", "symbol"} <= set(columns):
        pairs = [_pair(path, line, row) for line, row in rows]
        return pairs, {symbol for _, symbol in pairs}
    if delimiter == "\t" and {"symbol", *HGNC_COLUMNS} <= set(columns):
        return _hgnc(path, rows)
    raise DataError(f"{path}: the header has the columns {some(columns, 8)}; {_WANTED}")


def _rows(path: Path, reader: "Reader", columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for cells in reader:
        line = reader.line_num + 1  # the header was read before
        if not cells:
            continue
        if len(cells) != len(columns):
            raise DataError(
                f"{path}: line {line} has {len(cells)} columns ({some(cells, 3)}), the header {len(columns)}"
            )
        yield line, {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}


def _pair(path: Path, line: int, row: dict[str, str]) -> tuple[str, str]:
    for column in ("alias", "symbol"):
        if not row[column]:
            raise DataError(f"{path}: line {line}: {column} is empty; give both, or remove the line")
    if is_missing_name(row["symbol"]):  # an alias may be: NaN is one of SCN11A
        raise DataError(f"{path}: line {line}: symbol {row['symbol']!r} is a missing value that was written out")
    if ID_SEPARATOR in row["alias"]:
        raise DataError(f"{path}: line {line}: {row['alias']} are several aliases; give each a line")
    return row["alias"], row["symbol"]


def _hgnc(path: Path, rows: Iterator[tuple[int, dict[str, str]]]) -> tuple[list[tuple[str, str]], set[str]]:
    pairs, symbols = [], set()
    for line, row in rows:
        if not row["symbol"]:
            raise DataError(f"{path}: line {line}: symbol is empty; is the file whole?")
        symbols.add(row["symbol"])
        for column in HGNC_COLUMNS:
            pairs += [(alias.strip(), row["symbol"]) for alias in row[column].split(ID_SEPARATOR) if alias.strip()]
    return pairs, symbols
