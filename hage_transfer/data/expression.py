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


def normalise(counts: Shaped[np.ndarray, "spot gene"] | sp.csr_matrix, preset: str) -> Float[np.ndarray, "spot gene"]:
    """Normalises the panel counts of one section.

    Args:
        counts: raw counts of the panel's genes, dense or sparse, all of ONE section (`gene_log10` sums over its spots).
        preset: one of ``PRESETS``.

    Returns:
        float32 expression, 0 or more. A spot (`gene_log10`: a gene) without any count stays zero.

    Raises:
        ConfigError: unknown preset.
        DataError: a negative, NaN or infinite count, or counts that are not two-dimensional.
    """
    if preset not in PRESETS:
        (near,) = nearest(preset, PRESETS)
        raise ConfigError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)} (nearest: {near})")
    dense = np.asarray(counts if isinstance(counts, np.ndarray) else counts.toarray(), dtype=np.float64)
    _check(dense)
    totals = dense.sum(axis=0 if preset == "gene_log10" else 1, keepdims=True)
    scaled = dense * np.divide(SCALE_TO, totals, out=np.zeros_like(totals), where=totals > 0)
    logged = np.log1p(scaled)
    if preset != "spot_ln":
        logged /= np.log(10.0)
    return logged.astype(np.float32)


def _check(counts: Float[np.ndarray, "spot gene"]) -> None:
    if counts.ndim != 2:
        raise DataError(f"counts are (spot, gene), these have shape {counts.shape}")
    wrong = ~(np.isfinite(counts) & (counts >= 0))
    if wrong.any():
        spot, gene = np.argwhere(wrong)[0]
        raise DataError(
            f"{int(wrong.sum())} counts are negative, NaN or infinite, the first {counts[spot, gene]} at spot {spot}, "
            f"gene {gene}; raw counts are 0 or more"
        )
