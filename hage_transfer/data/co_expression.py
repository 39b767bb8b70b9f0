"""Gene embeddings trained from the co-expression of ST sections: skip-gram over pairs of co-expressed genes."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Literal

import anndata as ad
import numpy as np
from jaxtyping import Float, Int

from hage_transfer.data.expression import normalise
from hage_transfer.data.genes import sparse_panel_counts
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

N_PARTNERS = 10
EPOCHS = 10
ROWS_AT_A_TIME = 1024
_ENTRIES = 2**23
"""Of a section's expression at a time."""
Form = Literal["pearson", "depth", "pmi"]
"""What makes two genes partners in a section: the correlation over its spots; the same once the spots' depth (a
parabola in its logarithm) is regressed out; how much oftener than by chance a spot shows both."""
Part = tuple[int, int]
"""Some spots of a section: the first, and the one after the last."""
Made = Callable[[Part], Float[np.ndarray, "part gene"]]
"""What some spots show, made when it is asked for."""


@dataclass(frozen=True)
class GeneEmbeddings:
    """One vector for each gene.

    Attributes:
        symbols: genes, case-exact.
        vectors: float32, a row for each gene.
        source: the file, or the sections and settings they were trained with.
        left_out: genes that training could give no vector, and why.
        counts_read: sections whose counts made them.
    """

    symbols: tuple[str, ...]
    vectors: Float[np.ndarray, "gene gene_dim"]
    source: str
    left_out: Mapping[str, str] = field(default_factory=dict)
    counts_read: tuple[str, ...] = ()


@dataclass(frozen=True)
class CoexpressedPairs:
    """Pairs of genes that go up and down together.

    Attributes:
        pairs: indices into the symbols; a gene and one of its partners.
        left_out: genes in no pair, and why.
    """

    pairs: Int[np.ndarray, "pair 2"]
    left_out: Mapping[str, str]


def coexpressed_pairs(
    sections: Sequence[ad.AnnData], symbols: Sequence[str], *, n_partners: int = N_PARTNERS, form: Form = "pearson"
) -> CoexpressedPairs:
    """Each gene's ``n_partners`` highest positive associations over the spots of each section; see train_coexpression.

    Raises:
        DataError: no section, or no two genes vary together in any.
    """
    if not sections:
        raise DataError("co-expression needs at least one training section, there is none")
    found = [_section_pairs(section, symbols, n_partners, form) for section in sections]
    pairs = np.concatenate([pairs for pairs, _ in found])
    if not len(pairs):
        names = [str(section.uns["section"]["name"]) for section in sections]
        raise DataError(f"no two of the panel's {len(symbols)} genes vary together in sections {some(names)}")
    paired, varying = (set(np.unique(genes)) for genes in (pairs, np.concatenate([genes for _, genes in found])))
    left_out = {
        symbol: "correlates with no other panel gene" if gene in varying else "constant in every training section"
        for gene, symbol in enumerate(symbols)
        if gene not in paired
    }
    return CoexpressedPairs(pairs, left_out)


def train_coexpression(
    sections: Sequence[ad.AnnData],
    symbols: Sequence[str],
    *,
    dim: int = 200,
    seed: int,
    n_partners: int = N_PARTNERS,
    epochs: int = EPOCHS,
    form: Form = "pearson",
) -> GeneEmbeddings:
    """Trains embeddings of the panel's genes by Gene2Vec's recipe: skip-gram, window 1, over co-expressed pairs.

    Expression is `spot_log10`; co-expression is the Pearson correlation over the spots of one section, and the pairs
    of all sections together are the sentences. The same sections, symbols and seed give the same bits.

    Reference: Du et al., Gene2vec, BMC Genomics 2019 (dimension 200, window 1, ten epochs over the pairs).

    Deviation: Gene2Vec takes the pairs with r > 0.9 among thousands of studies. A few sections have hardly any such
    pair and would leave most genes out, so each gene's ``n_partners`` highest positive correlations of each section
    are its pairs.

    Args:
        sections: training sections alone; a held-out one among them would leak.
        symbols: the panel.
        dim: width of an embedding.
        seed: of the order of pairs, the initial vectors and the negative samples.
        n_partners: partners of each gene in each section.
        epochs: passes over the pairs.
        form: of association that makes partners.

    Returns:
        Embeddings of the genes that have a pair. Genes that are constant in every section, or that correlate with no
        other, are left out and logged.

    Raises:
        DataError: no section, or no two genes vary together in any.
    """
    found = coexpressed_pairs(sections, symbols, n_partners=n_partners, form=form)
    for reason in dict.fromkeys(found.left_out.values()):
        symbols_of = [symbol for symbol, why in found.left_out.items() if why == reason]
        log.warning("%s, so without an embedding: %s", reason, some(symbols_of, 20))
    order = np.random.default_rng(seed).permutation(len(found.pairs))
    vectors = _skip_gram(found.pairs[order], dim=dim, seed=seed, epochs=epochs)
    trained = [gene for gene, symbol in enumerate(symbols) if symbol not in found.left_out]
    names = tuple(str(section.uns["section"]["name"]) for section in sections)
    how = {"pearson": "", "depth": ", depth regressed out", "pmi": ", pointwise mutual information"}[form]
    settings = f"{n_partners} partners, {epochs} epochs, seed {seed}{how}"
    return GeneEmbeddings(
        symbols=tuple(symbols[gene] for gene in trained),
        vectors=np.stack([vectors[gene] for gene in trained]).astype(np.float32),
        source=f"co-expression of sections {', '.join(names)} ({settings})",
        left_out=found.left_out,
        counts_read=names,
    )


def _section_pairs(
    section: ad.AnnData, symbols: Sequence[str], n_partners: int, form: Form
) -> tuple[Int[np.ndarray, "pair 2"], Int[np.ndarray, " gene"]]:
    """Each gene with its partners of highest positive correlation (ties in panel order), and the genes that vary."""
    counts, step = sparse_panel_counts(section, symbols), max(1, _ENTRIES // len(symbols))
    parts = [(start, start + step) for start in range(0, section.n_obs, step)]

    @lru_cache(1)
    def expression(part: Part) -> Float[np.ndarray, "part gene"]:
        return normalise(counts[slice(*part)], "spot_log10").astype(np.float64)

    high, low = (of([of(expression(part), axis=0) for part in parts], axis=0) for of in (np.max, np.min))
    varying = np.flatnonzero(high > low)
    if len(varying) < 2:
        return np.empty((0, 2), dtype=int), varying
    depth = np.asarray(section.X.sum(1)).ravel()
    centred = _centred(lambda part: expression(part)[:, varying], parts, depth, form)
    blocks = np.split(np.arange(len(varying)), range(ROWS_AT_A_TIME, len(varying), ROWS_AT_A_TIME))
    found = [_best_partners(centred, parts, block, n_partners) for block in blocks]
    gene, partner = (np.concatenate(each) for each in zip(*found, strict=True))
    return np.stack([varying[gene], varying[partner]], axis=1), varying


def _centred(expression: Made, parts: Sequence[Part], depth: Float[np.ndarray, " spot"], form: Form) -> Made:
    """Columns whose inner products are the association; for ``pmi`` its ratio to chance, less 1, of the same order."""

    def values(part: Part) -> Float[np.ndarray, "part gene"]:
        found = expression(part)
        return (found > 0).astype(np.float64) if form == "pmi" else found

    mean = _total(values(part).sum(axis=0) for part in parts) / len(depth)
    if form == "pmi":
        by_chance = np.where(mean > 0, mean, 1) * np.sqrt(len(depth))
        return lru_cache(1)(lambda part: (values(part) - mean) / by_chance)
    basis = np.linalg.qr(np.vander(np.log10(1 + depth), 3))[0][:, : 3 if form == "depth" else 0]
    trend = _total(basis[slice(*part)].T @ (values(part) - mean) for part in parts)

    @lru_cache(1)
    def residual(part: Part) -> Float[np.ndarray, "part gene"]:
        return values(part) - mean - basis[slice(*part)] @ trend

    norm = np.sqrt(_total((residual(part) ** 2).sum(axis=0) for part in parts))
    return lru_cache(1)(lambda part: residual(part) / np.where(norm > 0, norm, 1))


def _total(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return reduce(np.add, arrays)


def _best_partners(
    centred: Made, parts: Sequence[Part], rows: Int[np.ndarray, " gene"], n_partners: int
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """The genes ``rows``, and their partners of positive correlation, the highest first."""
    correlation = _total(found[:, rows].T @ found for found in map(centred, parts))
    correlation[rows - rows[0], rows] = -np.inf
    n_kept = min(n_partners, correlation.shape[1] - 1)
    lowest = np.partition(correlation, -n_kept, axis=1)[:, -n_kept]
    row, partner = np.nonzero(correlation >= lowest[:, None])  # more than wanted where several share the lowest place
    value = correlation[row, partner]
    order = np.lexsort((partner, -value, row))
    row, partner, value = row[order], partner[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = (place < n_kept) & (value > 0)
    return rows[row[kept]], partner[kept]


def _skip_gram(pairs: np.ndarray, *, dim: int, seed: int, epochs: int) -> dict[int, np.ndarray]:
    """Vector of each gene (by index) that is in a pair; one worker, so that the order of updates is fixed."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        sentences=[[str(a), str(b)] for a, b in pairs.tolist()],
        vector_size=dim,
        window=1,
        min_count=1,
        sg=1,
        workers=1,
        epochs=epochs,
        seed=seed,
        sample=0,  # gensim would drop frequent words, and in a panel of some hundred genes every gene is frequent
    )
    return {int(word): model.wv[word] for word in model.wv.index_to_key}
