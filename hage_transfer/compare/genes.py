"""Metrics of predicted expression, over the spots of ONE section.

Never pool sections: differences between sections alone, with no signal inside any, reach a pooled PCC of 0.3.
Callers score each section and average over sections.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.errors import DataError

N_HIGHLY_EXPRESSED = 50


def gene_pcc(
    predicted: Float[np.ndarray, "spot gene"], target: Float[np.ndarray, "spot gene"]
) -> Float[np.ndarray, " gene"]:
    """Pearson correlation of each gene over the spots of one section.

    Args:
        predicted: predicted expression; its scale and shift do not matter.
        target: measured expression.

    Returns:
        float64 per gene: NaN where the target is constant (no correlation is defined; callers leave it out and count
        it), 0 where only the prediction is constant.

    Raises:
        DataError: shapes differ, or NaN or infinity on either side.

    >>> target = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])  # the second gene is constant
    >>> gene_pcc(10 * target + 3, target)
    array([ 1., nan])
    """
    _check(predicted, target)
    x, y = _standardise(predicted), _standardise(target)
    pcc = np.clip((x * y).sum(axis=0), -1.0, 1.0)
    pcc[_constant(target)] = np.nan
    return pcc


def pcc_mean(pcc: Float[np.ndarray, " gene"], genes: Int[np.ndarray, " chosen"] | None = None) -> float:
    """Mean of ``gene_pcc`` over genes (or the ones at ``genes``), constant targets left out; NaN where all are.

    >>> pcc_mean(np.array([0.25, np.nan, 0.5]))
    0.375
    """
    chosen = pcc if genes is None else pcc[genes]
    valid = chosen[~np.isnan(chosen)]
    return float(valid.mean()) if len(valid) else float("nan")


def mean_over_defined(scores: Sequence[np.ndarray] | np.ndarray) -> Float[np.ndarray, " gene"]:
    """Mean of each column over the rows in which it is a number; NaN where in none.

    >>> mean_over_defined(np.array([[1.0, np.nan], [3.0, np.nan]])).tolist()
    [2.0, nan]
    """
    known = ~np.isnan(np.asarray(scores))
    total = np.where(known, scores, 0).sum(0)
    return np.divide(total, known.sum(0), out=np.full(total.shape, np.nan), where=known.any(0))


def highly_expressed(
    mean_expression: Float[np.ndarray, " gene"], n: int = N_HIGHLY_EXPRESSED
) -> Int[np.ndarray, " chosen"]:
    """Indices of the ``n`` genes of highest mean, highest first; ties in the panel's order; all where fewer.

    >>> highly_expressed(np.array([0.1, 3.0, 2.0]), n=2).tolist()
    [1, 2]
    """
    return np.argsort(-np.asarray(mean_expression, dtype=np.float64), kind="stable")[:n]


def mse(predicted: Float[np.ndarray, "spot gene"], target: Float[np.ndarray, "spot gene"]) -> float:
    """Mean squared error over all entries of one section.

    >>> mse(np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]]))
    2.0
    """
    _check(predicted, target)
    return float(np.mean((np.asarray(predicted, np.float64) - target) ** 2))


def mae(predicted: Float[np.ndarray, "spot gene"], target: Float[np.ndarray, "spot gene"]) -> float:
    """Mean absolute error over all entries of one section.

    >>> mae(np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]]))
    1.0
    """
    _check(predicted, target)
    return float(np.mean(np.abs(np.asarray(predicted, np.float64) - target)))


@dataclass(frozen=True)
class GeneScores:
    """Scores of one section; `pcc_*` are NaN where every gene's target is constant."""

    pcc_all: float
    pcc_heg50: float
    mse: float
    mae: float
    n_constant_genes: int


def gene_table(
    predicted: Float[np.ndarray, "spot gene"],
    target: Float[np.ndarray, "spot gene"],
    heg: Int[np.ndarray, " chosen"],
) -> dict[str, float]:
    """Every gene metric of one section under its name in the results.

    Args:
        predicted: predicted expression.
        target: measured expression of the same spots and genes.
        heg: indices of the highly expressed genes (``highly_expressed`` of the training means, or of the test's).

    Returns:
        `pcc_all`, `pcc_heg50`, `mse`, `mae`, `n_constant_genes` (targets that are constant, left out of the PCCs).

    Raises:
        DataError: shapes differ, or NaN or infinity on either side.

    >>> target = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    >>> scores = gene_table(target, target, highly_expressed(target.mean(0), n=1))
    >>> round(scores['pcc_all'], 6), scores['mse'], scores['n_constant_genes']
    (1.0, 0.0, 0)
    """
    pcc = gene_pcc(predicted, target)
    scores = GeneScores(
        pcc_all=pcc_mean(pcc),
        pcc_heg50=pcc_mean(pcc, heg),
        mse=mse(predicted, target),
        mae=mae(predicted, target),
        n_constant_genes=int(np.isnan(pcc).sum()),
    )
    return asdict(scores)


def _constant(values: Float[np.ndarray, "spot gene"]) -> np.ndarray:
    return np.max(values, axis=0) == np.min(values, axis=0)


def _standardise(values: Float[np.ndarray, "spot gene"]) -> Float[np.ndarray, "spot gene"]:
    """Centred columns of unit norm; constant columns are zero. Scaled by the largest entry first, so none overflows."""
    centred = np.asarray(values, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    centred[:, _constant(values)] = 0.0
    largest = np.abs(centred).max(axis=0)
    centred = np.divide(centred, largest, out=np.zeros_like(centred), where=largest > 0)
    norm = np.sqrt((centred**2).sum(axis=0))
    return np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)


def _check(predicted: np.ndarray, target: np.ndarray) -> None:
    if predicted.shape != target.shape or predicted.ndim != 2 or not len(predicted):
        raise DataError(
            f"predicted and measured expression are (spot, gene) alike with at least one spot, "
            f"these have shapes {predicted.shape} and {target.shape}"
        )
    for name, values in (("predicted", predicted), ("measured", target)):
        if not np.isfinite(values).all():
            genes = np.flatnonzero(~np.isfinite(values).all(axis=0))
            raise DataError(f"{name} expression holds NaN or infinity in {len(genes)} genes (first index {genes[0]})")
