"""Gene2Vec's text files, read line by line and written.

Du et al., Gene2vec: distributed representation of genes based on co-expression, BMC Genomics 2019.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hage_transfer.data.co_expression import GeneEmbeddings
from hage_transfer.data.sections.form import check_unique
from hage_transfer.errors import DataError, some
from hage_transfer.running.atomic import write_text


def read_gene2vec(path: Path) -> GeneEmbeddings:
    """Reads `GENE<tab>v1 v2 ...` lines, or word2vec text whose first line is `rows dims`; blank lines are skipped.

    Raises:
        DataError: missing, not text, empty, rows of unequal length or fewer or more than declared, text or NaN among
            the numbers (each with its line), or a gene twice.
    """
    try:
        with path.open(encoding="utf-8-sig") as handle:
            symbols, vectors = _read(path, enumerate(handle, start=1))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of gene embeddings; without one, leave genes.embeddings out") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); wanted Gene2Vec or word2vec text") from None
    check_unique(path, "gene", symbols)
    source, counts_read = _card(path)
    return GeneEmbeddings(tuple(symbols), vectors, source=source, counts_read=counts_read)


def card_path(path: Path) -> Path:
    """Where the card of a file of vectors lies: how they were made, and whose counts they have read."""
    return path.with_name(f"{path.name}.card.json")


def write_gene2vec(path: Path, embeddings: GeneEmbeddings) -> None:
    """Writes ``gene2vec_text``."""
    write_text(path, gene2vec_text(embeddings))


def gene2vec_text(embeddings: GeneEmbeddings) -> str:
    """`GENE<tab>v1 v2 ...` lines, each number with the digits that give its float32 back."""
    rows = zip(embeddings.symbols, embeddings.vectors.astype(np.float32), strict=True)
    return "".join(f"{symbol}\t{' '.join(map(str, vector))}\n" for symbol, vector in rows)


def _card(path: Path) -> tuple[str, tuple[str, ...]]:
    """Source and counts read by the card; without one, the file's name and no counts of sections at hand."""
    try:
        card = json.loads(card_path(path).read_text(encoding="utf-8"))
        read = tuple(map(str, card["counts_read"]))
        says = f"the counts of {some(read)}" if read else "no counts"
        return f"{path.name}: {card['source']}; has read {says}", read
    except FileNotFoundError:
        return path.name, ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{card_path(path)}: cannot be read as the card of {path.name} ({error}); remove it") from None


def _read(path: Path, lines: Iterable[tuple[int, str]]) -> tuple[list[str], Float[np.ndarray, "gene gene_dim"]]:
    rows = _rows(lines)
    first = next(rows, None)
    declared = _declared(first[1]) if first else None
    if not declared:
        rows = _put_back(first, rows)
    dim = declared[1] if declared else None
    symbols: list[str] = []
    vectors: list[Float[np.ndarray, " gene_dim"]] = []
    for number, words in rows:
        dim = len(words) - 1 if dim is None else dim
        if len(words) != dim + 1 or not dim:
            raise DataError(
                f"{path}: line {number} ({words[0]}) has {len(words) - 1} numbers, wanted {max(dim, 1)} as "
                f"{'declared' if declared else 'in the first line'}"
            )
        symbols.append(words[0])
        vectors.append(_numbers(path, number, words))
    if not symbols:
        raise DataError(f"{path}: no gene embedding in it; wanted lines of a symbol and its numbers")
    if declared and len(symbols) != declared[0]:
        raise DataError(
            f"{path}: the first line declares {declared[0]} rows, the file has {len(symbols)}; is it whole?"
        )
    return symbols, np.stack(vectors)


def _rows(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        words = line.split()
        if words:
            yield number, words


def _put_back(
    first: tuple[int, list[str]] | None, rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    if first:
        yield first
    yield from rows


def _declared(words: list[str]) -> tuple[int, int] | None:
    if len(words) == 2 and all(word.isdigit() for word in words):
        return int(words[0]), int(words[1])
    return None


def _numbers(path: Path, line: int, words: list[str]) -> Float[np.ndarray, " gene_dim"]:
    try:
        if any("_" in word for word in words[1:]):  # Python's float takes 1_0 for 10
            raise ValueError(f"could not convert string to float: {next(word for word in words[1:] if '_' in word)!r}")
        with np.errstate(over="ignore"):  # a number past float32 is the infinity that is refused below
            values = np.array(list(map(float, words[1:])), dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: line {line} ({words[0]}): {error}; an embedding is numbers alone") from None
    if not np.isfinite(values).all():
        raise DataError(f"{path}: line {line} ({words[0]}) holds NaN or infinity")
    return values
