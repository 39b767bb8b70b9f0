"""10x Genomics' feature-barcode matrices: HDF5, or Matrix Market (`matrix.mtx`, `barcodes.tsv`, `features.tsv`)."""

import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy

from hage_transfer.damage import reading
from hage_transfer.data.h5_file import check_below, open_h5
from hage_transfer.data.sections.gene_columns import GENES_TYPE, GeneColumns, genes_of
from hage_transfer.data.sections.tables import read_bytes, read_table
from hage_transfer.errors import DataError, some

_DATASETS = frozenset({"data", "indices", "indptr", "shape", "barcodes"})
_NEW_FEATURES, _OLD_FEATURES = frozenset({"id", "name", "feature_type"}), frozenset({"genes", "gene_names"})
_WHAT = "cannot be read as a 10x matrix, as Space Ranger writes it"
_COMMENTS = 1 << 16
MTX, BARCODES, FEATURES = "matrix.mtx", "barcodes.tsv", ("features.tsv", "genes.tsv")


@dataclass(frozen=True)
class MatrixFiles:
    """A Matrix Market matrix: three files that may carry a prefix and be gzipped.

    Attributes:
        matrix: features by barcodes.
        barcodes: a name a line.
        features: id, symbol and, from Space Ranger 1 on, type.
    """

    matrix: Path
    barcodes: Path
    features: Path


def existing(folder: Path, prefix: str, names: tuple[str, ...]) -> Path | None:
    """The first of some files that is there, plain or gzipped; None where none is."""
    paths = [folder / f"{prefix}{name}{packed}" for name in names for packed in ("", ".gz")]
    return next((path for path in paths if path.is_file()), None)


def mtx_files(folder: Path, prefix: str = "") -> MatrixFiles | None:
    """The three files of a folder with a prefix; None where one of them is not there."""
    found = [existing(folder, prefix, names) for names in ((MTX,), (BARCODES,), FEATURES)]
    there = [path for path in found if path is not None]
    return MatrixFiles(*there) if len(there) == len(found) else None


def missing_of_mtx(folder: Path, prefix: str = "") -> list[str]:
    """Which of the three files of a folder with a prefix are not there, by the names that are looked for."""
    wanted = ((MTX,), (BARCODES,), FEATURES)
    return [" or ".join(f"{prefix}{name}" for name in names) for names in wanted if not existing(folder, prefix, names)]


def read_matrix(source: Path | MatrixFiles) -> tuple[list[str], GeneColumns]:
    """Barcodes and counts of genes by symbol: genes of one symbol are summed, features that are no genes left out.

    Raises:
        DataError: missing, damaged, not such a matrix, or without a gene-expression feature.
    """
    path = source if isinstance(source, Path) else source.matrix
    counts, spots, var = _read_h5(source) if isinstance(source, Path) else _read_mtx(source)
    n_others = 0
    if "feature_types" in var:
        of_genes = (var["feature_types"] == GENES_TYPE).to_numpy()
        if not of_genes.any():
            raise DataError(
                f"{path}: no feature of type {GENES_TYPE}; it has {some(sorted(set(var['feature_types'].astype(str))))}"
            )
        counts, var, n_others = counts[:, of_genes], var[of_genes], int((~of_genes).sum())
    genes = genes_of(path, counts, var)
    return spots, replace(genes, n_no_genes=genes.n_no_genes + n_others)


def _read_h5(path: Path) -> "tuple[scipy.sparse.csr_matrix, list[str], pd.DataFrame]":
    import scanpy as sc

    with reading(path, _WHAT, RuntimeWarning), warnings.catch_warnings():
        _check_datasets(path)
        warnings.simplefilter("error", RuntimeWarning)  # indices that are no whole numbers
        warnings.filterwarnings("ignore", message="Variable names are not unique", category=UserWarning)
        table = sc.read_10x_h5(path, gex_only=False)
        counts = scipy.sparse.csr_matrix(table.X)
        if counts.dtype.kind not in "biuf" or counts.dtype == np.float16:
            raise ValueError(f"counts of type {counts.dtype}")
        counts.check_format()
    return counts, [str(name) for name in table.obs_names], table.var


def _check_datasets(path: Path) -> None:
    """Looks for what scanpy wants, since it raises a bare Exception where that is missing."""
    names: set[str] = set()

    def note(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            names.add(name.rpartition("/")[2])

    with open_h5(path, what=_WHAT, remedy="") as file:
        check_below(path, file)
        is_old = "matrix" not in file  # Cell Ranger 2: a group for each genome
        (file if is_old else file["matrix"]).visititems(note)
    missing = (_DATASETS | (_OLD_FEATURES if is_old else _NEW_FEATURES)) - names
    if missing:
        raise ValueError(f"no {', '.join(sorted(missing))} in it")


def _without_comments(raw: bytes) -> bytes:
    """The numbers of a Matrix Market file: what lies behind its comments."""
    last = raw.rfind(b"\n%", 0, _COMMENTS) + 1
    return raw[raw.find(b"\n", last) + 1 :]


def _read_mtx(files: MatrixFiles) -> "tuple[scipy.sparse.csr_matrix, list[str], pd.DataFrame]":
    with reading(files.matrix, "cannot be read as a Matrix Market matrix"):
        raw = read_bytes(files.matrix)
        field = scipy.io.mminfo(io.BytesIO(raw))[4]
        if field == "integer" and b"." in _without_comments(raw):
            raw = raw.replace(b"integer", b"real", 1)  # scipy would cut the fractions off
        counts = scipy.sparse.csr_matrix(scipy.io.mmread(io.BytesIO(raw)).T)
    if field == "pattern":
        raise DataError(
            f"{files.matrix}: a pattern, which tells where there are counts and not how many; give the counts"
        )
    text: dict[str, Any] = {"sep": "\t", "header": None, "dtype": str, "keep_default_na": False}
    barcodes, features = (read_table(path, "a tab-separated list", **text) for path in (files.barcodes, files.features))
    if counts.shape != (len(barcodes), len(features)):
        turned = " (it lies on its side)" if counts.shape == (len(features), len(barcodes)) else ""
        raise DataError(
            f"{files.matrix}: {counts.shape[1]} rows and {counts.shape[0]} columns{turned}, wanted "
            f"{len(features)} rows, as {files.features.name} has features, and {len(barcodes)} columns, as "
            f"{files.barcodes.name} has barcodes"
        )
    var = pd.DataFrame({"gene_ids": features[0].to_numpy()}, index=pd.Index(features[min(1, features.shape[1] - 1)]))
    if features.shape[1] > 2:
        var["feature_types"] = features[2].to_numpy()
    return counts, barcodes[0].tolist(), var
