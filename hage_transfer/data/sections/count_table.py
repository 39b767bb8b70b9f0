"""Count tables as text: spots x genes, tab-separated, column 0 the spots' names, plain or gzipped."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

from hage_transfer.data.sections.form import check_unique
from hage_transfer.data.sections.tables import read_bytes
from hage_transfer.errors import DataError

_TAB, _ZERO = ord("\t"), ord("0")
_FEWEST = 10
"""Of fewer spots one gene may be half of the counts everywhere."""


@dataclass(frozen=True)
class CountTable:
    """Counts with their names; values as read, whatever they are."""

    spots: list[str]
    genes: list[str]
    counts: "scipy.sparse.csr_matrix"


def read_count_table(path: Path) -> CountTable:
    """Reads a count table.

    Raises:
        DataError: missing, truncated, no table, a row of another length, a gene twice or nameless, a column that is
            the sum of all others, or text among the numbers.
    """
    header, rows = _split(path, read_bytes(path))
    genes = [gene.strip() for gene in header[1:]]
    names, values, columns, starts = [], [], [], [0]
    for number, row in enumerate(rows, start=2):
        name, _, body = row.partition(b"\t")
        spot = name.decode("utf-8", errors="replace").strip()
        counts = _read_row(path, body, line=number, spot=spot, genes=genes)
        found = np.flatnonzero(counts)
        names.append(spot)
        columns.append(found)
        values.append(counts[found])
        starts.append(starts[-1] + len(found))
    check_unique(path, "gene", genes)  # after the rows: a tab too many at every line's end is a fault of theirs
    check_unique(path, "spot", names)
    sparse = (np.concatenate(values), np.concatenate(columns), np.asarray(starts))
    counted = scipy.sparse.csr_matrix(sparse, shape=(len(names), len(genes)))
    _refuse_sums(path, genes, counted)
    return CountTable(names, genes, counted)


def _refuse_sums(path: Path, genes: list[str], counts: "scipy.sparse.csr_matrix") -> None:
    of_gene, of_spot = (np.asarray(counts.sum(axis=axis)).ravel() for axis in (0, 1))
    is_half = (2 * of_gene == of_spot.sum()) & (np.count_nonzero(of_gene) > 2) & (np.count_nonzero(of_spot) >= _FEWEST)
    for gene in np.flatnonzero(is_half):
        if np.array_equal(2 * counts[:, [gene]].toarray().ravel(), of_spot):
            raise DataError(f"{path}: column {genes[gene]} is the sum of all others, no gene; take it out")


def _split(path: Path, raw: bytes) -> tuple[list[str], list[bytes]]:
    lines = [line for line in raw.splitlines() if line.strip()]
    header = lines[0].decode("utf-8", errors="replace").split("\t") if lines else []
    if len(lines) < 2 or len(header) < 2:
        raise DataError(
            f"{path}: {len(lines)} lines and {len(header)} tab-separated columns; a count table has a header of gene "
            "symbols after one unnamed column, then a line for each spot"
        )
    if len(lines[1].split(b"\t")) == len(header) + 1:  # tables written by R leave the corner out
        header = ["", *header]
    return header, lines[1:]


def _read_row(path: Path, body: bytes, *, line: int, spot: str, genes: list[str]) -> Float[np.ndarray, " gene"]:
    values = _parse_digits(body)
    if values is None:
        values = _parse_numbers(path, body, spot=spot, genes=genes)
    if len(values) != len(genes):
        raise DataError(
            f"{path}: line {line} (spot {spot}) has {len(values)} values, the header lists {len(genes)} genes"
        )
    return values


def _parse_digits(body: bytes) -> Float[np.ndarray, " gene"] | None:
    """Whole numbers between tabs, several times as fast as pandas; None where there is anything but digits."""
    characters = np.frombuffer(body + b"\t", dtype=np.uint8)
    ends = np.flatnonzero(characters == _TAB)
    lengths = np.empty_like(ends)
    lengths[0] = ends[0]
    np.subtract(ends[1:], ends[:-1] + 1, out=lengths[1:])
    digits = characters - np.uint8(_ZERO)  # wraps, so all that is no digit is above 9
    longest = int(lengths.max())
    if np.count_nonzero(digits > 9) != len(ends) or not lengths.all() or longest > 15:
        return None
    values = digits[ends - 1].astype(np.float64)
    for place in range(2, longest + 1):
        longer = np.flatnonzero(lengths >= place)
        values[longer] += 10.0 ** (place - 1) * digits[ends[longer] - place]
    return values


def _parse_numbers(path: Path, body: bytes, *, spot: str, genes: list[str]) -> Float[np.ndarray, " gene"]:
    """Values such as `1.0` or `2e3`; names the first that is no number."""
    words = pd.Series(body.decode("utf-8", errors="replace").split("\t"))
    numbers = pd.to_numeric(words, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(np.isnan(numbers))
    if len(wrong) and len(words) == len(genes):
        raise DataError(
            f"{path}: spot {spot}, gene {genes[wrong[0]]}: {words[wrong[0]]!r} is not a number; "
            "a count table holds whole numbers"
        )
    return numbers
