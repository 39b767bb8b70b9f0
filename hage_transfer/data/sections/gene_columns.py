"""Genes of an AnnData or Space Ranger table: which column holds symbols and which ids; columns of one symbol summed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from hage_transfer.data.gene_names import ID_SEPARATOR

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
_ENSEMBL_ID = re.compile(r"ENS[A-Z]*G\d+(\.\d+)?")


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


def gene_names_of(var: pd.DataFrame) -> tuple[list[str], list[str] | None]:
    """Symbols and ids of a table's genes.

    The index is the symbols, unless most of it are Ensembl ids and a column of symbols is beside it; a gene whose
    symbol is left empty there keeps its id for a name.
    """
    index = [str(name) for name in var.index]
    n_ids = sum(_ENSEMBL_ID.fullmatch(name) is not None for name in index)
    column = next((name for wanted in SYMBOL_COLUMNS for name in var if str(name).lower() == wanted), None)
    if n_ids * 2 > len(index) and column is not None:
        symbols = [symbol or gene_id for symbol, gene_id in zip(_texts(var[column]), index, strict=True)]
        return symbols, index
    ids = next((name for name in ID_COLUMNS if name in var), None)
    return index, None if ids is None else _texts(var[ids])


def merge_symbols(counts: "scipy.sparse.csr_matrix", symbols: Sequence[str], ids: Sequence[str] | None) -> GeneColumns:
    """Sums the columns of one symbol, in the order in which the symbols come first."""
    codes, unique = pd.factorize(pd.Index(symbols))
    n_merged = len(symbols) - len(unique)
    if not n_merged:
        return GeneColumns(counts, list(symbols), None if ids is None else list(ids), 0)
    to_symbol = scipy.sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)))
    joined = None if ids is None else list(pd.Series(ids).groupby(codes).agg(ID_SEPARATOR.join))
    return GeneColumns(scipy.sparse.csr_matrix(counts @ to_symbol), list(unique), joined, n_merged)


def _texts(column: pd.Series) -> list[str]:
    return [str(text).strip() for text in column.astype(object).where(column.notna(), "")]
