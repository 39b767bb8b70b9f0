"""Normalisation presets: from raw panel counts of one section to the expression that a model predicts.

=============  ======================================  ===========
preset         every ... is scaled to 10,000           then
=============  ======================================  ===========
`spot_log10`   spot, over the panel's genes            log10(1 + y)
`spot_ln`      spot, over the panel's genes            ln(1 + y)
`gene_log10`   gene, over the section's spots          log10(1 + y)
=============  ======================================  ===========

The panel comes first, then the scaling. Errors of one preset do not compare with errors of another, so the preset's
name stands beside every number.
"""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Shaped

from hage_transfer.errors import ConfigError, DataError, nearest

PRESETS = ("spot_log10", "spot_ln", "gene_log10")
UNITS = {
    "spot_log10": "log10(1 + counts per 10,000 of the spot's panel)",
    "spot_ln": "ln(1 + counts per 10,000 of the spot's panel)",
    "gene_log10": "log10(1 + counts per 10,000 of the gene in the section)",
}
SCALE_TO = 1e4


def normalise(
    counts: Shaped[np.ndarray, "spot gene"] | sp.csr_matrix,
    preset: str,
    *,
    totals: Float[np.ndarray, "_ _"] | None = None,
) -> Float[np.ndarray, "spot gene"]:
    """Normalises the panel counts of one section; only those above 0 are computed with.

    Args:
        counts: raw counts of the panel's genes, dense or sparse, all of ONE section (`gene_log10` sums over its spots).
        preset: one of ``PRESETS``.
        totals: what is scaled to 10,000, as (spot, 1), (1, gene) or (spot, gene), where ``counts`` are some of a
            section's spots or of several sections; None: their sums.

    Returns:
        float32 expression, 0 or more. A spot (`gene_log10`: a gene) without any count stays zero.

    Raises:
        ConfigError: unknown preset.
        DataError: a negative, NaN or infinite count, or counts that are not two-dimensional.
    """
    if preset not in PRESETS:
        (near,) = nearest(preset, PRESETS)
        raise ConfigError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)} (nearest: {near})")
    if counts.ndim != 2:
        raise DataError(f"counts are (spot, gene), these have shape {counts.shape}")
    sparse = sp.csr_matrix(counts, dtype=np.float64, copy=True)
    sparse.sum_duplicates()
    _check(sparse)
    sizes = np.diff(sparse.indptr)
    if totals is None:
        by_gene = preset == "gene_log10"
        totals = np.asarray(sparse.sum(axis=0 if by_gene else 1)).reshape((1, -1) if by_gene else (-1, 1))
    scale = np.divide(SCALE_TO, totals, out=np.zeros_like(totals, dtype=np.float64), where=totals > 0)
    if scale.shape[1] == 1:
        scaled = np.repeat(np.broadcast_to(scale[:, 0], len(sizes)), sizes)
    else:
        scaled = np.broadcast_to(scale, sparse.shape)[np.repeat(np.arange(len(sizes)), sizes), sparse.indices]
    logged = np.log1p(np.multiply(sparse.data, scaled, out=scaled), out=scaled)
    if preset != "spot_ln":
        logged /= np.log(10.0)
    return sp.csr_matrix((logged.astype(np.float32), sparse.indices, sparse.indptr), shape=sparse.shape).toarray()


def _check(counts: sp.csr_matrix) -> None:
    wrong = np.flatnonzero(~(np.isfinite(counts.data) & (counts.data >= 0)))
    if len(wrong):
        first = wrong[0]
        spot = np.searchsorted(counts.indptr, first, side="right") - 1
        raise DataError(
            f"{len(wrong)} counts are negative, NaN or infinite, the first {counts.data[first]} at spot "
            f"{spot}, gene {counts.indices[first]}; raw counts are 0 or more"
        )
