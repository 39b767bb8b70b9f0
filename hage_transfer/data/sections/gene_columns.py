"""Genes of an AnnData or Space Ranger table: which column holds symbols and which ids; columns of one symbol summed."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from hage_transfer.data.gene_names import ID_SEPARATOR
from hage_transfer.data.sections.feature_names import are_genes, is_missing_name, without_dates, without_genome
from hage_transfer.errors import DataError, some

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
TYPE_COLUMNS = ("feature_types", "feature_type", "feature_biotype")  # 10x, CELLxGENE
GENES_TYPE = "Gene Expression"
OTHER_TYPES = (
    *("Antibody Capture", "Multiplexing Capture", "CRISPR Guide Capture", "Antigen Capture", "Custom", "Peaks"),
    *("Negative Control Probe", "Negative Control Codeword", "Blank Codeword", "Unassigned Codeword"),
    *("Deprecated Codeword", "Genomic Control", "Protein Expression", "spike-in"),
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
        n_no_genes: how many columns were left out since they are no genes.
    """

    counts: "scipy.sparse.csr_matrix"
    symbols: list[str]
    ids: list[str] | None
    n_merged: int
    n_no_genes: int = 0

    @property
    def mismatches(self) -> dict[str, int]:
        """What did not fit, by kind."""
        return {"symbols_merged": self.n_merged} | (
            {"features_that_are_no_genes": self.n_no_genes} if self.n_no_genes else {}
        )


def gene_names_of(var: pd.DataFrame, path: object = "a table of genes") -> tuple[list[str], list[str] | None]:
    """Symbols and ids of a table's genes.

    The index is the symbols, unless most of it are ids (Ensembl's, or numbers) and a column of symbols is beside it;
    where the column of ids holds the symbols, the two are swapped. A gene whose symbol is left empty has its id for a
    name, and so has one whose symbol a spreadsheet has made a date. Numbers with no symbols beside them are said.
    """
    symbols, ids = _names_of(var, path)
    return without_genome(path, without_dates(path, symbols, ids), ids)


def _names_of(var: pd.DataFrame, path: object) -> tuple[list[str], list[str] | None]:
    index = _texts(var.index.to_series())
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


def genes_of(
    path: Path, counts: "scipy.sparse.csr_matrix", var: pd.DataFrame, *, index_repeats: bool = True
) -> GeneColumns:
    """The genes of a table: features of other types (antibodies, spike-ins) and control probes are left out.

    So is a gene whose name is a missing value that was written out (`nan`), if it has no id either.

    Args:
        path: of the table, for messages.
        counts: of its features.
        var: what is known of them, their names as index.
        index_repeats: whether columns of one name in the index are summed, as those of one symbol of a column are;
            else they are an error later.

    Raises:
        DataError: no feature is a gene.
    """
    kept = _are_of_genes(path, var)
    symbols, ids = gene_names_of(var[kept], path)
    named = are_genes(symbols) & (are_genes(ids) if ids else True)
    named &= [bool(symbol or not str(name).strip()) for symbol, name in zip(symbols, var.index[kept], strict=True)]
    kept[kept] = named
    symbols = [symbol for symbol, is_gene in zip(symbols, named, strict=True) if is_gene]
    ids = None if ids is None else [gene_id for gene_id, is_gene in zip(ids, named, strict=True) if is_gene]
    if not symbols:
        raise DataError(f"{path}: none of its {len(var)} features is a gene ({some(list(map(str, var.index)), 3)})")
    counts, n_no_genes = counts[:, kept] if not kept.all() else counts, int((~kept).sum())
    index = [str(name) for name in var.index[kept]]
    if not index_repeats and all(symbol == name or not name for symbol, name in zip(symbols, index, strict=True)):
        return GeneColumns(counts, symbols, ids, n_merged=0, n_no_genes=n_no_genes)
    return replace(merge_symbols(counts, symbols, ids), n_no_genes=n_no_genes)


def _are_of_genes(path: Path, var: pd.DataFrame) -> np.ndarray:
    """Mask of the features that are of genes by their type, where the table has types that this knows."""
    for name in var:
        types = pd.Index(_texts(var[name]))
        if str(name).lower() in TYPE_COLUMNS and types.isin(OTHER_TYPES).any():
            if types.isin(OTHER_TYPES).all():
                raise DataError(f"{path}: no feature of type {GENES_TYPE}; it has {some(sorted(set(types)))}")
            return ~types.isin(OTHER_TYPES)
    return np.ones(len(var), dtype=bool)


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
    texts = [str(text).strip() for text in column.astype(object).where(column.notna(), "")]
    return ["" if is_missing_name(text) else text for text in texts]
