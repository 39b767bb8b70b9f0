"""How far gene embeddings cover a panel.

Gene2Vec's files are read by ``gene2vec.read_gene2vec``; where none is at hand, ``co_expression.train_coexpression``
trains embeddings by its recipe.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hage_transfer.data.co_expression import GeneEmbeddings, train_coexpression
from hage_transfer.data.gene2vec import read_gene2vec, write_gene2vec
from hage_transfer.data.gene_names import GeneNames, resolve
from hage_transfer.errors import ConfigError, DataError, nearest, some
from hage_transfer.extensions import installed, load_extension

__all__ = [
    "Coverage",
    "GeneEmbeddings",
    "cover",
    "installed_embeddings",
    "made_embeddings",
    "near_names",
    "read_gene2vec",
    "train_coexpression",
    "write_gene2vec",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coverage:
    """Which genes of a panel have an embedding.

    Attributes:
        symbols: covered genes, in the panel's order.
        vectors: their embeddings, float32.
        missing: genes without one, in the panel's order.
        reasons: of each missing gene, why.
        renamed: covered genes that the embeddings list under another name, and that name.
    """

    symbols: tuple[str, ...]
    vectors: Float[np.ndarray, "gene gene_dim"]
    missing: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)


def cover(symbols: Sequence[str], embeddings: GeneEmbeddings, *, names: GeneNames | None = None) -> Coverage:
    """Looks the panel's genes up, case-exact, else by the names that ``names`` has for them, and logs the coverage.

    Two panel genes never share one embedding: the one that has its very name takes it, and of several others none.

    Raises:
        DataError: no gene of the panel has an embedding.
    """
    place = {symbol: row for row, symbol in enumerate(embeddings.symbols)}
    found, reasons = _look_up(symbols, embeddings, names)
    kept = tuple(symbol for symbol in symbols if symbol in found)
    missing = tuple(symbol for symbol in symbols if symbol not in found)
    folded = {symbol.upper() for symbol in embeddings.symbols}
    other_case = [symbol for symbol in missing if symbol.upper() in folded]
    hint = f"; {len(other_case)} would match in another case ({some(other_case)})" if other_case else ""
    if not kept:
        raise DataError(
            f"none of the panel's {len(symbols)} genes ({some(symbols)}) has an embedding in {embeddings.source} "
            f"({some(embeddings.symbols)}){hint}; are both gene symbols of one species?"
        )
    renamed = {symbol: listed for symbol, listed in found.items() if symbol != listed}
    log.info("%d of %d panel genes have an embedding in %s", len(kept), len(symbols), embeddings.source)
    if renamed:
        described = [f"{symbol} as {listed}" for symbol, listed in renamed.items()]
        log.info("%d of them under another name: %s", len(renamed), some(described))
    if missing:
        log.warning("without an embedding, so left out of the keys: %s%s", some(missing, 20), hint)
    return Coverage(kept, embeddings.vectors[[place[found[symbol]] for symbol in kept]], missing, reasons, renamed)


def near_names(names: Sequence[str], listed: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each name up to three listed ones that are spelt nearly so: in another case, else a letter or two apart."""
    by_start: dict[str, list[str]] = {}
    for other in sorted(set(listed)):
        by_start.setdefault(other[:1].upper(), []).append(other)
    near = {}
    for name in names:
        candidates = [c for c in by_start.get(name[:1].upper(), []) if abs(len(c) - len(name)) <= 1]
        same = [other for other in candidates if other.upper() == name.upper()]
        near[name] = tuple(same or get_close_matches(name, candidates, n=3, cutoff=0.8))
    return near


def _look_up(
    symbols: Sequence[str], embeddings: GeneEmbeddings, names: GeneNames | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Covered genes with their names among the embeddings, and the others with a reason."""
    resolution = resolve(symbols, embeddings.symbols, names)
    source = f"no embedding in {embeddings.source}"
    reasons = {
        symbol: f"{source}: {embeddings.left_out.get(symbol, why)}" for symbol, why in resolution.unresolved.items()
    }
    claims: dict[str, list[str]] = {}
    for symbol, listed in resolution.renamed.items():
        claims.setdefault(listed, []).append(symbol)
    for listed, claimants in claims.items():
        if listed in resolution.found or len(claimants) > 1:
            others = [listed] if listed in resolution.found else claimants
            for symbol in claimants:
                taken = " and ".join(other for other in others if other != symbol)
                reasons[symbol] = f"{source}: {listed} there is the panel's {taken} too"
    return {symbol: listed for symbol, listed in resolution.found.items() if symbol not in reasons}, reasons


def installed_embeddings(name: str) -> GeneEmbeddings:
    """Gene embeddings that a distribution installs: symbols and a matrix, or a function that gives both.

    Raises:
        ConfigError: none of this name, or one that gives something else.
    """
    if name not in installed("gene_embeddings"):
        near = nearest(name, installed("gene_embeddings"))
        raise ConfigError(
            f"genes.installed = {name}: no distribution installs it under hage_transfer.gene_embeddings; nearest: "
            f"{near[0] if near else 'none is installed'}"
        )
    return made_embeddings(load_extension("gene_embeddings", name), f"installed {name}", f"genes.installed = {name}")


def made_embeddings(given: object, source: str, argument: str) -> GeneEmbeddings:
    """Gene embeddings of Python objects.

    Args:
        given: a mapping of genes to vectors, a DataFrame with a row a gene, symbols and a matrix (a pair, or an object
            with ``symbols`` and ``vectors``), or a function that gives one of these.
        source: what is recorded of them.
        argument: that gave them, for the message.

    Raises:
        ConfigError: something else, a gene twice, or what is no finite row of one length for each gene.
    """
    try:
        symbols, vectors = _pair(given)
        matrix = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{argument}: wanted vectors by gene, or (symbols, vectors): {error}") from None
    odd = [name for name in symbols if not name or len(name.split()) != 1]
    if odd or len(set(symbols)) < len(symbols):
        raise ConfigError(f"{argument}: each gene is one word, once; met {some(odd or list(symbols), 3)}")
    if matrix.ndim != 2 or not matrix.size or len(matrix) != len(symbols) or not np.isfinite(matrix).all():
        raise ConfigError(
            f"{argument}: {len(symbols)} symbols and vectors of shape {matrix.shape}; wanted a finite row for each "
            "symbol"
        )
    return GeneEmbeddings(symbols, matrix, source)


def _pair(given: Any) -> tuple[tuple[str, ...], Any]:
    found: Any
    if isinstance(given, pd.DataFrame):
        found = given.index, given.to_numpy()
    elif isinstance(given, Mapping):
        found = given.keys(), list(given.values())
    elif hasattr(given, "symbols") and hasattr(given, "vectors"):
        found = given.symbols, given.vectors
    else:
        found = given() if callable(given) else given
    symbols, vectors = found
    return tuple(map(str, symbols)), vectors
