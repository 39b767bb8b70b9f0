"""What gene vectors know: pairs of one function, neighbours, and genes that they predict in counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hage_transfer.compare.genes import gene_pcc, pcc_mean

N_DRAWS = 500
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
N_FOLDS = 5


@dataclass(frozen=True)
class PairTest:
    """Whether vectors of two genes that share function point the same way.

    Attributes:
        auc: of the cosine, over pairs whose genes both have a vector.
        low: of its 95% interval, over draws of genes with replacement, since pairs share genes.
        high: of it.
        permuted_high: 97.5th percentile of the AUC when vectors are exchanged among genes; above it, identity tells.
        n_pairs: pairs tested.
        n_genes: genes in them.
    """

    auc: float
    low: float
    high: float
    permuted_high: float
    n_pairs: int
    n_genes: int


def directions(vectors: Float[np.ndarray, "gene number"]) -> Float[np.ndarray, "gene number"]:
    """Rows of unit length; a zero stays zero."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norm > 0, norm, 1)


def pair_test(
    vectors: Float[np.ndarray, "gene number"],
    pairs: Int[np.ndarray, "pair 2"],
    shares: Int[np.ndarray, " pair"],
    *,
    seed: int = 0,
) -> PairTest:
    """The published pair test: cosine of two genes' vectors as a score of whether they share function.

    Args:
        vectors: of genes.
        pairs: rows of them.
        shares: 1 where the genes of a pair share function; both values occur.
        seed: of draws and permutations.
    """
    unit, rng = directions(vectors), np.random.default_rng(seed)
    genes, local = np.unique(pairs, return_inverse=True)
    local = local.reshape(pairs.shape)
    score = (unit[pairs[:, 0]] * unit[pairs[:, 1]]).sum(1)
    drawn, permuted = [], []
    is_shared = shares == 1
    for _ in range(N_DRAWS):
        times = np.bincount(rng.integers(0, len(genes), len(genes)), minlength=len(genes))
        weight = times[local[:, 0]] * times[local[:, 1]]
        if len(np.unique(shares[weight > 0])) == 2:
            drawn.append(_auc(is_shared, score, weight))
        mixed = unit[genes[rng.permutation(len(genes))]]
        permuted.append(_auc(is_shared, (mixed[local[:, 0]] * mixed[local[:, 1]]).sum(1)))
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (np.nan, np.nan)
    return PairTest(
        auc=_auc(is_shared, score),
        low=float(low),
        high=float(high),
        permuted_high=float(np.quantile(permuted, 0.975)),
        n_pairs=len(pairs),
        n_genes=len(genes),
    )


def _auc(
    is_shared: Bool[np.ndarray, " pair"],
    score: Float[np.ndarray, " pair"],
    weight: Int[np.ndarray, " pair"] | None = None,
) -> float:
    """Of weighted pairs, ties as half: scikit-learn's, without the checks that a thousand draws would pay for."""
    place = np.unique(score, return_inverse=True)[1]
    counts = np.ones(len(score)) if weight is None else weight
    above, below = (np.bincount(place, weights=counts * side) for side in (is_shared, ~is_shared))
    return float(above @ (below.cumsum() - below / 2) / (above.sum() * below.sum()))


def neighbours(
    symbols: Sequence[str], vectors: Float[np.ndarray, "gene number"], gene: str, *, n: int
) -> list[tuple[str, float]]:
    """The ``n`` genes of highest cosine with one, and the cosines."""
    unit, row = directions(vectors), list(symbols).index(gene)
    cosine = unit @ unit[row]
    order = [other for other in np.argsort(-cosine, kind="stable") if other != row][:n]
    return [(symbols[other], float(cosine[other])) for other in order]


def predict_held_out(
    expression: Mapping[str, Float[np.ndarray, "spot gene"]],
    vectors: Float[np.ndarray, "gene number"],
    *,
    seed: int = 0,
) -> dict[str, float]:
    """PCC of genes predicted, spot by spot, from the other genes' counts through the vectors; sections never pooled.

    A fifth of the genes is held out in turn. In each spot a ridge over the seen genes goes from vectors to standardised
    expression; its penalty is chosen on a fifth of the seen genes. The prediction of a gene is the mean of the seen
    genes plus what its vector adds.

    Args:
        expression: of each section, normalised; columns are the vectors' rows.
        vectors: of the genes.
        seed: of folds, permutation and random vectors.

    Returns:
        Mean PCC by ``own`` vectors, ``permuted`` among genes, ``random`` of the same width, and the seen genes'
        ``panel_mean`` alone.
    """
    rng = np.random.default_rng(seed)
    tables = {
        "own": vectors,
        "permuted": vectors[rng.permutation(len(vectors))],
        "random": rng.standard_normal(vectors.shape),
        "panel_mean": np.zeros_like(vectors),
    }
    fold = rng.permutation(len(vectors)) % N_FOLDS
    return {name: _held_out(expression, _centred(table), fold) for name, table in tables.items()}


def _centred(vectors: Float[np.ndarray, "gene number"]) -> Float[np.ndarray, "gene number"]:
    return directions(vectors - vectors.mean(0))


def _held_out(
    expression: Mapping[str, np.ndarray], unit: Float[np.ndarray, "gene number"], fold: Int[np.ndarray, " gene"]
) -> float:
    kernel = unit @ unit.T
    scores = []
    for values in expression.values():
        spread = values.std(0)
        known = np.where(spread > 0, (values - values.mean(0)) / np.where(spread > 0, spread, 1), 0.0)
        predicted = np.empty_like(known)
        for one in range(N_FOLDS):
            held, inner = fold == one, fold == (one + 1) % N_FOLDS
            rest = ~held & ~inner
            tried = {ridge: _through(kernel, known, rest, inner, ridge) for ridge in RIDGES}
            best = max(tried, key=lambda ridge: pcc_mean(gene_pcc(tried[ridge], values[:, inner])))
            predicted[:, held] = _through(kernel, known, ~held, held, best)
        scores.append(pcc_mean(gene_pcc(predicted, values)))
    return float(np.mean(scores))


def _through(
    kernel: Float[np.ndarray, "gene gene"],
    known: Float[np.ndarray, "spot gene"],
    seen: Bool[np.ndarray, " gene"],
    asked: Bool[np.ndarray, " gene"],
    ridge: float,
) -> Float[np.ndarray, "spot asked"]:
    mean = known[:, seen].mean(1, keepdims=True)
    system = kernel[np.ix_(seen, seen)] + ridge * np.eye(int(seen.sum()))
    return mean + (known[:, seen] - mean) @ np.linalg.solve(system, kernel[np.ix_(seen, asked)])
