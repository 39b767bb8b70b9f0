"""Genes of the tiles that decided against the rest of the slide, as effect sizes.

What is compared: a number a tile and gene (predicted expression, or how much the encoder attends to the gene) between
the tiles of highest attention and all others. Effect sizes, and no p-value of a test that takes tiles for independent:
neighbouring tiles look alike, so tens of thousands of them would make any difference "significant". What a slide alone
can say is in ``deciding_shifts``; slides against slides, which are units, in ``deciding_slides``.

Both the attention and the predicted expression are functions of the same features. An effect says what the deciding
tiles look like in terms of genes; it does not say that the gene caused the call, nor that it was measured.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from hage_transfer.errors import DataError

_VALUES_AT_A_TIME = 1 << 23
_MASKS_AT_A_TIME = 32
_SAMPLED_TILES = 2000
_EVEN = 1e-6
"""Relative spread below which values are rounding noise about a constant."""


@dataclass(frozen=True)
class GeneEffects:
    """How deciding tiles differ from the rest, gene by gene.

    Attributes:
        mean_deciding: mean over the deciding tiles, in the values' unit.
        mean_rest: mean over the others.
        hedges_g: (mean_deciding - mean_rest) / pooled std over tiles, times 1 - 3 / (4 n - 9); NaN where a gene is
            constant or there are fewer than three tiles.
        rank_biserial: 2 AUC - 1, from -1 (every deciding tile lower) to 1 (every one higher); 0 where constant.
        weighted_shift: attention-weighted mean minus plain mean over all tiles; it needs no threshold.
    """

    mean_deciding: Float[np.ndarray, " gene"]
    mean_rest: Float[np.ndarray, " gene"]
    hedges_g: Float[np.ndarray, " gene"]
    rank_biserial: Float[np.ndarray, " gene"]
    weighted_shift: Float[np.ndarray, " gene"]

    @property
    def difference(self) -> Float[np.ndarray, " gene"]:
        """``mean_deciding - mean_rest``."""
        return self.mean_deciding - self.mean_rest


def deciding_tiles(attention: Float[np.ndarray, " tile"], *, share: float) -> Bool[np.ndarray, " tile"]:
    """The tiles of highest attention: ``share`` of the slide's, rounded up.

    Tiles without any attention never decide (max pooling attends to one tile a class), and where all tiles have the
    same (mean pooling) none does. Of equal tiles the first ones are taken.

    Raises:
        DataError: a share outside 0 to 1.
    """
    if not 0 < share < 1:
        raise DataError(f"the share of deciding tiles is between 0 and 1, this is {share:g}; 0.1 is the default")
    if is_even(attention):
        return np.zeros(len(attention), dtype=bool)
    mask = np.zeros(len(attention), dtype=bool)
    mask[np.argsort(-attention, kind="stable")[: math.ceil(share * len(attention))]] = True
    return mask & (attention > _EVEN / len(attention))


def is_even(attention: Float[np.ndarray, " tile"]) -> bool:
    """Whether all tiles have the same attention."""
    return bool(np.ptp(attention) <= _EVEN * attention.max())


def gene_effects(
    values: Float[np.ndarray, "gene tile"], attention: Float[np.ndarray, " tile"], deciding: Bool[np.ndarray, " tile"]
) -> GeneEffects:
    """Effect sizes of every gene; some genes are in memory at a time.

    Reference: Cureton 1956 (rank-biserial correlation), Hedges 1981 (g and its correction for few tiles).

    Args:
        values: one row a gene; may be mapped from a file.
        attention: of each tile, summing to 1.
        deciding: which tiles decided; some, not all.

    Raises:
        DataError: no tile decided, or all did.
    """
    n, n_in = len(deciding), int(deciding.sum())
    n_out = n - n_in
    if not n_in or not n_out:
        raise DataError(f"{n_in} of {n} tiles decided; effects compare some of a slide's tiles with others")
    parts = []
    for rows in blocks(values):
        inside, outside = rows[:, deciding], rows[:, ~deciding]
        mean_in, mean_out = inside.mean(1), outside.mean(1)
        pooled = np.sqrt((_squares(inside, mean_in) + _squares(outside, mean_out)) / max(n - 2, 1))
        constant = is_constant(rows)
        with np.errstate(invalid="ignore", divide="ignore"):
            g = (mean_in - mean_out) / pooled * (1 - 3 / (4 * n - 9))
        g[constant | (n < 3)] = np.nan
        biserial = rank_biserial(midranks(rows), deciding[None])[:, 0]
        parts.append((mean_in, mean_out, g, biserial, rows @ attention - rows.mean(1)))
    return GeneEffects(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def rank_biserial(
    ranks: Float[np.ndarray, "gene tile"], masks: Bool[np.ndarray, "mask tile"]
) -> Float[np.ndarray, "gene mask"]:
    """2 (mean rank inside - mean rank outside) / n of every gene and mask: 2 AUC - 1, ties counted half."""
    n = ranks.shape[1]
    sizes = masks.sum(1)
    some = [masks[start : start + _MASKS_AT_A_TIME] for start in range(0, len(masks), _MASKS_AT_A_TIME)]
    inside = np.concatenate([ranks @ part.T.astype(np.float64) for part in some], axis=1)
    outside = ranks.sum(1, keepdims=True) - inside
    return 2 / n * (inside / sizes - outside / (n - sizes))


def midranks(rows: Float[np.ndarray, "gene tile"]) -> Float[np.ndarray, "gene tile"]:
    """Ranks from 1, ties averaged; all the same where a gene is constant but for rounding."""
    ranks = stats.rankdata(rows, axis=1)
    ranks[is_constant(rows)] = (rows.shape[1] + 1) / 2
    return ranks


def is_constant(rows: Float[np.ndarray, "gene tile"]) -> Bool[np.ndarray, " gene"]:
    """Genes that do not vary over tiles but for rounding."""
    return np.ptp(rows, axis=1) <= _EVEN * np.abs(rows).max(1)


def order_by_effect(effects: GeneEffects) -> np.ndarray:
    """Genes by |rank-biserial|, then by |Hedges' g|, largest first; later genes follow earlier ones where both tie."""
    g = np.nan_to_num(np.abs(effects.hedges_g), nan=-1.0)
    return np.lexsort((np.arange(len(g)), -g, -np.round(np.abs(effects.rank_biserial), 12)))


def directions(values: Float[np.ndarray, "gene tile"], *, seed: int = 0) -> float:
    """Along how many directions the genes of a slide vary: G^2 / sum of squared correlations of all pairs of genes.

    1 where all genes move together, G where all are uncorrelated (participation ratio of the correlation matrix's
    eigenvalues); of at most 2,000 tiles drawn at random. Predictions come from few features, so it is small, and genes
    of like effect cannot be told apart.

    Returns:
        The number; NaN where no gene varies.
    """
    n = values.shape[1]
    tiles = np.arange(n)
    if n > _SAMPLED_TILES:
        tiles = np.sort(np.random.default_rng(seed).choice(n, _SAMPLED_TILES, replace=False))
    rows = np.asarray(values[:, tiles], dtype=np.float64)
    rows = rows[~is_constant(rows)]
    if not len(rows):
        return float("nan")
    rows = rows - rows.mean(1, keepdims=True)
    rows /= np.sqrt((rows**2).sum(1, keepdims=True))
    correlation = rows @ rows.T
    return float(len(rows) ** 2 / (correlation**2).sum())


def blocks(values: Float[np.ndarray, "gene tile"]) -> Iterator[Float[np.ndarray, "some tile"]]:
    """The genes in order, some 64 MB of float64 at a time."""
    step = max(1, _VALUES_AT_A_TIME // values.shape[1])
    for start in range(0, len(values), step):
        yield np.asarray(values[start : start + step], dtype=np.float64)


def _squares(rows: Float[np.ndarray, "gene tile"], mean: Float[np.ndarray, " gene"]) -> Float[np.ndarray, " gene"]:
    """Sum of squared deviations."""
    return ((rows - mean[:, None]) ** 2).sum(1)
