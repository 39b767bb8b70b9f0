"""Genes of an AnnData or Space Ranger table: which column holds symbols and which ids; columns of one symbol summed."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from hage_transfer.data.gene_names import ID_SEPARATOR
from hage_transfer.errors import some

log = logging.getLogger(__name__)

# Space Ranger and scanpy write gene_ids; CELLxGENE's schema has ids as index and symbols as feature_name.
ID_COLUMNS = ("gene_ids", "gene_id", "feature_id", "ensembl_id", "ensembl_gene_id")
SYMBOL_COLUMNS = (
    "feature_name",
    "gene_name",
    "gene_names",
    "gene_symbol",
    "gene_symbols",
    "symbol",
    "symbols",
    "gene_short_name",
    "hgnc_symbol",
)
_NUMBER = re.compile(r"\d+(\.0)?")
_ID = re.compile(
    r"(\w+_)?ENS[A-Z]*G\d+(\.\d+)?(_PAR_Y)?"  # GRCh38_ENSG..., with a version, of the Y chromosome's shared regions
    r"|[A-Z]+:\d+|[NX][MR]_\d+(\.\d+)?|\d+(\.0)?",  # HGNC:5, RefSeq, Entrez and row numbers
    re.IGNORECASE,
)


@dataclass(frozen=True)
class GeneColumns:
    """Counts with one column a symbol.

    Attributes:
        counts: raw counts.
        symbols: one a column.
        ids: one a column; those of summed columns are joined by `|`; None where the table has none.
        n_merged: how many columns were summed into others.
    """

    counts: "scipy.sparse.csr_matrix"
    symbols: list[str]
    ids: list[str] | None
    n_merged: int


def gene_names_of(var: pd.DataFrame, path: object = "a table of genes") -> tuple[list[str], list[str] | None]:
    """Symbols and ids of a table's genes.

    The index is the symbols, unless most of it are ids (Ensembl's, or numbers) and a column of symbols is beside it;
    where the column of ids holds the symbols, the two are swapped. A gene whose symbol is left empty has its id for a
    name. Numbers with no symbols beside them are said.
    """
    index = [str(name) for name in var.index]
    columns = {str(name).lower(): _texts(var[name]) for name in reversed(list(var))}
    listed = next((columns[name] for name in ID_COLUMNS if name in columns), None)
    if not _are_mostly(_ID, index):
        return _filled(index, listed), listed
    symbols = next((columns[name] for name in SYMBOL_COLUMNS if name in columns and _n_names(columns[name])), None)
    if symbols is None and listed is not None and 2 * _n_names(listed) > len(listed):
        symbols, listed = listed, None
    is_numbers = _are_mostly(_NUMBER, index)  # of rows or of Entrez: the file cannot tell, so they are no ids
    if symbols is None and not is_numbers:
        return index, listed
    if symbols is None and (listed is None or _are_mostly(_NUMBER, listed)):
        _say_numbers(path, var)
    ids = listed if is_numbers else index
    return _filled(_filled(symbols or listed or index, ids), index), ids


def merge_symbols(counts: "scipy.sparse.csr_matrix", symbols: Sequence[str], ids: Sequence[str] | None) -> GeneColumns:
    """Sums the columns of one symbol, in the order in which the symbols come first."""
    codes, unique = pd.factorize(pd.Index(symbols))
    n_merged = len(symbols) - len(unique)
    if not n_merged:
        return GeneColumns(counts, list(symbols), None if ids is None else list(ids), 0)
    to_symbol = scipy.sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)))
    joined = None if ids is None else list(pd.Series(ids).groupby(codes).agg(ID_SEPARATOR.join))
    return GeneColumns(scipy.sparse.csr_matrix(counts @ to_symbol), list(unique), joined, n_merged)


def _are_mostly(form: re.Pattern[str], names: Sequence[str]) -> bool:
    return 2 * sum(form.fullmatch(name) is not None for name in names) > len(names)


def _n_names(texts: Sequence[str]) -> int:
    """How many are neither empty nor ids, of which one symbol may have several."""
    return sum(not all(_ID.fullmatch(part) for part in text.split(ID_SEPARATOR)) for text in texts if text)


def _filled(names: Sequence[str], ids: Sequence[str] | None) -> list[str]:
    return [name or gene_id for name, gene_id in zip(names, ids, strict=True)] if ids else list(names)


def _say_numbers(path: object, var: pd.DataFrame) -> None:
    log.warning(
        "%s: its genes are called %s, which are numbers and no symbols; symbols belong into the index of var or its "
        "column %s (there is %s)",
        path,
        some(list(map(str, var.index)), 3),
        SYMBOL_COLUMNS[0],
        some(list(map(str, var.columns))) or "none",
    )


def _texts(column: pd.Series) -> list[str]:
    return [str(text).strip() for text in column.astype(object).where(column.notna(), "")]
