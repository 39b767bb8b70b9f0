"""Gene vectors from anywhere: sets of genes, files of vectors, several side by side; and what they have read."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Float32
from sklearn.utils.extmath import randomized_svd

from hage_transfer.data.co_expression import GeneEmbeddings
from hage_transfer.data.gene2vec import card_path, read_gene2vec, write_gene2vec
from hage_transfer.data.gene_sets import KINDS, Membership, kind_of, read_gene_sets
from hage_transfer.data.genes import read_symbols
from hage_transfer.data.sections.form import check_unique
from hage_transfer.errors import DataError, some
from hage_transfer.running.atomic import write_json

MIN_GENES = 5
"""Sets of fewer genes are left out: they tell apart hardly anything."""
VARM_SEPARATOR = ":"


def set_vectors(memberships: Sequence[Membership], *, dim: int, source: str, seed: int = 0) -> GeneEmbeddings:
    """Vectors of genes by the sets that hold them: tf-idf, rows of unit length, singular vectors times singular values.

    A set counts as log(genes / its genes), so that a set of nearly all genes says nothing.

    Args:
        memberships: gene and set, each pair once.
        dim: numbers of a vector, at most; fewer where there are fewer genes or sets.
        source: what is recorded of them.
        seed: of the randomised decomposition.

    Raises:
        DataError: no set of five genes or more that leaves a gene out.
    """
    genes, row = np.unique([gene for gene, _ in memberships], return_inverse=True)
    sets, column = np.unique([one for _, one in memberships], return_inverse=True)
    table = sp.csr_matrix((np.ones(len(row)), (row, column)), shape=(len(genes), len(sets)))
    size = np.asarray(table.sum(0)).ravel()
    kept = (size >= MIN_GENES) & (size < len(genes))
    if not kept.any():
        raise DataError(f"{source}: none of {len(sets)} sets holds {MIN_GENES} genes or more, and not all of them")
    weighted = table[:, kept] @ sp.diags(np.log(len(genes) / size[kept]))
    norm = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
    held = norm > 0
    unit = sp.diags(1 / norm[held]) @ weighted[held]
    left, values, _ = randomized_svd(unit, min(dim, *unit.shape), random_state=seed)
    return GeneEmbeddings(
        tuple(genes[held].tolist()),
        (left * values).astype(np.float32),
        source=f"{source} ({int(kept.sum())} sets of {MIN_GENES} genes or more)",
        left_out=dict.fromkeys(genes[~held].tolist(), f"in no set of {MIN_GENES} genes or more"),
    )


def read_vectors(source: str, *, dim: int) -> GeneEmbeddings:
    """Gene vectors of one source.

    Args:
        source: a file of gene sets (see ``read_gene_sets``), made into vectors; text in Gene2Vec's or word2vec's form;
            `.npy` with its genes, one a line, in the `.txt` of the same name; `.h5ad`, or `file.h5ad:KEY` where its
            varm holds several matrices.
        dim: numbers of a vector made from gene sets.

    Raises:
        DataError: missing or not in its form.
    """
    path, _, key = source.partition(VARM_SEPARATOR) if ".h5ad:" in source.lower() else (source, "", "")
    file = Path(path)
    if kind_of(file) in KINDS:
        return set_vectors(read_gene_sets(file), dim=dim, source=f"gene sets {file.name}")
    if kind_of(file) == ".npy":
        return _npy(file)
    if kind_of(file) == ".h5ad":
        return _varm(file, key)
    return read_gene2vec(file)


def side_by_side(parts: Sequence[GeneEmbeddings]) -> GeneEmbeddings:
    """One vector of several: each part centred and scaled to unit mean square norm, a gene that it lacks at its mean.

    Raises:
        DataError: no part.
    """
    if not parts:
        raise DataError("no source of gene vectors is given; name one")
    if len(parts) == 1:
        return parts[0]
    genes = list(dict.fromkeys(gene for part in parts for gene in part.symbols))
    place = {gene: row for row, gene in enumerate(genes)}
    blocks = []
    for part in parts:
        centred = part.vectors - part.vectors.mean(0)
        block = np.zeros((len(genes), centred.shape[1]), dtype=np.float32)
        block[[place[gene] for gene in part.symbols]] = centred / max(np.sqrt((centred**2).sum(1).mean()), 1e-12)
        blocks.append(block)
    return GeneEmbeddings(
        tuple(genes),
        np.concatenate(blocks, axis=1),
        source=" + ".join(part.source for part in parts),
        counts_read=tuple(dict.fromkeys(one for part in parts for one in part.counts_read)),
    )


def restricted(vectors: GeneEmbeddings, genes: Iterable[str]) -> GeneEmbeddings:
    """The vectors of some genes, in the order that they have there."""
    wanted = set(genes)
    kept = [row for row, gene in enumerate(vectors.symbols) if gene in wanted]
    return replace(vectors, symbols=tuple(vectors.symbols[row] for row in kept), vectors=vectors.vectors[kept])


def write_vectors(path: Path, vectors: GeneEmbeddings) -> None:
    """Writes Gene2Vec's text, and beside it the card: how they were made, and whose counts they have read."""
    write_gene2vec(path, vectors)
    write_json(
        card_path(path),
        {
            "source": vectors.source,
            "genes": len(vectors.symbols),
            "numbers": int(vectors.vectors.shape[1]),
            "counts_read": list(vectors.counts_read),
        },
    )


def _npy(path: Path) -> GeneEmbeddings:
    names = path.with_suffix(".txt")
    try:
        matrix = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of gene vectors") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array of numbers ({error})") from None
    if not names.is_file():
        raise DataError(f"{path}: wanted its genes, one a line, in {names}")
    return _checked(path, read_symbols(names), matrix)


def _varm(path: Path, key: str) -> GeneEmbeddings:
    from hage_transfer.data.sections.h5ad import open_h5ad

    with open_h5ad(path) as table:
        there = table.keys("varm")
        name = key or (there[0] if len(there) == 1 else "")
        matrix = table.array("varm", name) if name in there else None
        if matrix is None:
            raise DataError(
                f"{path}: varm has {some(there) or 'nothing'}{f', no {key}' if key else ''}; name one as "
                f"{path.name}{VARM_SEPARATOR}KEY"
            )
        return _checked(path, table.index("var").tolist(), matrix)


def _checked(path: Path, genes: Sequence[str], matrix: Float[np.ndarray, "gene number"]) -> GeneEmbeddings:
    check_unique(path, "gene", genes)
    if matrix.ndim != 2 or len(matrix) != len(genes) or matrix.dtype.kind not in "fiu" or not matrix.size:
        raise DataError(f"{path}: {matrix.dtype} of shape {matrix.shape} for {len(genes)} genes; wanted a row a gene")
    vectors = matrix.astype(np.float32)
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: holds NaN or infinity; wanted a finite row for each gene")
    return GeneEmbeddings(tuple(map(str, genes)), vectors, source=path.name)


def whitened(vectors: Float[np.ndarray, "gene number"]) -> Float32[np.ndarray, "gene number"]:
    """Centred, of one width along every axis that varies, and of mean square 1; genes that are all alike become 0.

    Axes below a thousandth of the widest are left out: along them there is rounding alone.
    """
    centred = (vectors - vectors.mean(0)).astype(np.float64)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    kept = values > 1e-3 * max(values[0], 1e-12)
    if not kept.any():
        return np.zeros_like(vectors, dtype=np.float32)
    flat = (left[:, kept] @ right[kept]) * np.sqrt(vectors.size / kept.sum())
    return flat.astype(np.float32)
