"""Gene embeddings: Gene2Vec's text files, and how far they cover a panel.

Du et al., Gene2vec: distributed representation of genes based on co-expression, BMC Genomics 2019. Where no such file
is at hand, ``co_expression.train_coexpression`` trains embeddings by its recipe.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hage_transfer.data.co_expression import GeneEmbeddings, train_coexpression
from hage_transfer.data.section_form import check_unique, some
from hage_transfer.errors import DataError

__all__ = ["Coverage", "GeneEmbeddings", "cover", "read_gene2vec", "train_coexpression"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coverage:
    """Which genes of a panel have an embedding.

    Attributes:
        symbols: covered genes, in the panel's order.
        vectors: their embeddings, float32.
        missing: genes without one, in the panel's order.
    """

    symbols: tuple[str, ...]
    vectors: Float[np.ndarray, "gene gene_dim"]
    missing: tuple[str, ...]


def cover(symbols: Sequence[str], embeddings: GeneEmbeddings) -> Coverage:
    """Looks the panel's genes up, case-exact, and logs the coverage.

    Raises:
        DataError: no gene of the panel has an embedding.
    """
    place = {symbol: row for row, symbol in enumerate(embeddings.symbols)}
    kept = tuple(symbol for symbol in symbols if symbol in place)
    missing = tuple(symbol for symbol in symbols if symbol not in place)
    folded = {symbol.upper() for symbol in embeddings.symbols}
    other_case = [symbol for symbol in missing if symbol.upper() in folded]
    hint = f"; {len(other_case)} would match in another case ({some(other_case)})" if other_case else ""
    if not kept:
        raise DataError(
            f"none of the panel's {len(symbols)} genes ({some(symbols)}) has an embedding in {embeddings.source} "
            f"({some(embeddings.symbols)}){hint}; are both gene symbols of one species?"
        )
    log.info("%d of %d panel genes have an embedding in %s", len(kept), len(symbols), embeddings.source)
    if missing:
        log.warning("without an embedding, so left out of the keys: %s%s", some(missing, 20), hint)
    return Coverage(kept, embeddings.vectors[[place[symbol] for symbol in kept]], missing)


def read_gene2vec(path: Path) -> GeneEmbeddings:
    """Reads `GENE<tab>v1 v2 ...` lines, or word2vec text whose first line is `rows dims`.

    Raises:
        DataError: missing, empty, rows of unequal length or fewer or more than declared, text or NaN among the
            numbers, or a gene twice.
    """
    lines = _read_lines(path)
    declared = _declared(lines[0][1])
    rows = [(number, line.split()) for number, line in (lines[1:] if declared else lines)]
    if declared and len(rows) != declared[0]:
        raise DataError(f"{path}: the first line declares {declared[0]} rows, the file has {len(rows)}; is it whole?")
    dim = declared[1] if declared else (len(rows[0][1]) - 1)
    vectors = np.empty((len(rows), dim), dtype=np.float32)
    for row, (number, words) in enumerate(rows):
        if len(words) != dim + 1 or not dim:
            raise DataError(
                f"{path}: line {number} ({words[0]}) has {len(words) - 1} numbers, wanted {max(dim, 1)} as "
                f"{'declared' if declared else 'in the first line'}"
            )
        vectors[row] = _numbers(path, number, words)
    symbols = [words[0] for _, words in rows]
    check_unique(path, "gene", symbols)
    return GeneEmbeddings(tuple(symbols), vectors, source=path.name)


def _read_lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of gene embeddings; without one, leave genes.embeddings out") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); wanted Gene2Vec or word2vec text") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines or (len(lines) == 1 and _declared(lines[0][1])):
        raise DataError(f"{path}: no gene embedding in it; wanted lines of a symbol and its numbers")
    return lines


def _declared(line: str) -> tuple[int, int] | None:
    words = line.split()
    if len(words) == 2 and all(word.isdigit() for word in words):
        return int(words[0]), int(words[1])
    return None


def _numbers(path: Path, line: int, words: list[str]) -> Float[np.ndarray, "gene_dim"]:
    try:
        values = np.array(list(map(float, words[1:])), dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: line {line} ({words[0]}): {error}; an embedding is numbers alone") from None
    if not np.isfinite(values).all():
        raise DataError(f"{path}: line {line} ({words[0]}) holds NaN or infinity")
    return values
