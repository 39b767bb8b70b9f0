"""Where an h5ad file has its raw counts: a layer, ``X`` or ``.raw``; normalised values are never taken for them."""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy

from hage_transfer.data.sections.form import check_counts
from hage_transfer.data.sections.gene_columns import (
    ID_COLUMNS,
    SYMBOL_COLUMNS,
    TYPE_COLUMNS,
    GeneColumns,
    gene_names_of,
    genes_of,
)
from hage_transfer.data.sections.h5ad import H5adFile
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

COUNT_LAYERS = ("counts", "raw_counts", "count", "raw", "umi_counts", "umi")


def counts_of(file: H5adFile, rows: np.ndarray) -> GeneColumns:
    """Raw counts of some spots by symbol, from the first place that holds whole numbers.

    Raises:
        DataError: no place holds raw counts; the message says what each place holds.
    """
    fault: str | None = None
    for place, values, var in _places(file, rows):
        try:
            check_counts(file.path, values, spots=list(file.index("obs")[rows]), genes=list(var.index))
        except DataError as error:
            fault = fault or f"{error} ({place})"
            continue
        if place != "X":
            log.info("%s: counts are of %s%s", file.path, place, "" if fault is None else ", since X is normalised")
        return genes_of(file.path, values, var, index_repeats=False)
    layers, has_raw = file.keys("layers"), "raw" in file.root or "raw.X" in file.root
    elsewhere = f"layers holds {some(layers) or 'nothing'}{', and there is .raw' if has_raw else ''}"
    if fault is not None:
        raise DataError(f'{fault}; {elsewhere}, none of which is taken for raw counts but layers["counts"]')
    raise DataError(f'{file.path}: no X and no layers["counts"]; {elsewhere}; name the layer of raw counts "counts"')


def _places(file: H5adFile, rows: np.ndarray) -> "Iterator[tuple[str, scipy.sparse.csr_matrix, pd.DataFrame]]":
    n_spots = len(file.index("obs"))
    var = _genes(file, "var")
    there = sorted(file.keys("layers"), key=str.lower, reverse=True)
    there.sort(key=lambda layer: layer not in COUNT_LAYERS)  # of "counts" and "Counts" the first
    layers = [layer for wanted in COUNT_LAYERS for layer in there if layer.lower() == wanted]
    for key, place in [*((f"layers/{layer}", f'layers["{layer}"]') for layer in layers), ("X", "X")]:
        values = file.matrix(key, (n_spots, len(var)), rows)
        if values is not None:
            yield place, values, var
    for key, table in (("raw/X", "raw/var"), ("raw.X", "raw.var")):  # the second is anndata 0.6's
        if key in file.root and table in file.root:
            raw_var = _genes(file, table)
            raw_var = raw_var if len(raw_var.columns) else _by_var(var, raw_var.index)
            values = file.matrix(key, (n_spots, len(raw_var)), rows)
            if values is not None:
                yield ".raw", values, raw_var


def _by_var(var: pd.DataFrame, genes: pd.Index) -> pd.DataFrame:
    """What ``var``, the genes that are left in ``X``, says of the genes of ``.raw``, by its index or by its ids."""
    if var.index.is_unique and genes.isin(var.index).any():
        return var.reindex(genes)
    symbols, ids = gene_names_of(var)
    if ids is None or not pd.Index(ids).is_unique or not genes.isin(ids).any():
        return pd.DataFrame(index=genes)
    return pd.DataFrame({SYMBOL_COLUMNS[0]: pd.Series(symbols, index=ids).reindex(genes)}, index=genes)


def _genes(file: H5adFile, table: str) -> pd.DataFrame:
    wanted = {*SYMBOL_COLUMNS, *ID_COLUMNS, *TYPE_COLUMNS}
    columns = {name: file.column(table, name) for name in file.keys(table) if name.lower() in wanted}
    index = file.index(table)
    return pd.DataFrame(
        {name: column.to_numpy() for name, column in columns.items() if column is not None}, index=index
    )
