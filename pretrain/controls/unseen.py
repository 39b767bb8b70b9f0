"""Genes kept from training: which ones, and what they measure in the test sections.

The seen genes become the panel of the run: they alone are attention keys, input of the expression encoder, outputs
and targets, and a spot's total, which normalisation divides by, is taken over them alone, so that no count of an
unseen gene reaches the training. The unseen genes' own targets serve the evaluation only; they are normalised within
the whole panel, as in a run in which they are seen, so that both runs' scores compare.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from anndata import AnnData
from jaxtyping import Float32, Int

from hage_transfer.data.expression import normalise
from hage_transfer.data.genes import panel_counts
from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.genes import FoldGenes

_SALT = 7  # keeps this draw apart from others of the same seed


@dataclass(frozen=True)
class UnseenGenes:
    """Genes kept from training, for the evaluation of a fold.

    Attributes:
        symbols: the genes.
        vectors: their embeddings, from the same table as the panel's.
        test_target: what the test spots measure, normalised within the whole panel.
    """

    symbols: tuple[str, ...]
    vectors: Float32[np.ndarray, "other gene_dim"]
    test_target: Float32[np.ndarray, "test other"]


def check_unseen(config: PretrainConfig) -> None:
    """Refuses a run whose predictor could not predict the unseen genes.

    Raises:
        ConfigError: ``genes.unseen`` is above 0 and ``model.predictor`` is not ``gene_conditioned``.
    """
    if config.genes.unseen and config.model.predictor != "gene_conditioned":
        raise ConfigError(
            f"genes.unseen = {config.genes.unseen:g} needs model.predictor = gene_conditioned, met "
            f"{config.model.predictor}, which has no output for a gene it was not trained on; "
            "set model.predictor=gene_conditioned, or genes.unseen=0"
        )


def split_genes(n_genes: int, *, share: float, seed: int) -> tuple[Int[np.ndarray, " seen"], Int[np.ndarray, " other"]]:
    """Panel positions of the seen and of the unseen genes, both ascending, drawn at random.

    Raises:
        ConfigError: fewer than two genes on a side.
    """
    n_unseen = round(n_genes * share)
    if n_unseen < 2 or n_genes - n_unseen < 2:
        raise ConfigError(
            f"genes.unseen = {share:g} of {n_genes} genes leaves {n_unseen} unseen and {n_genes - n_unseen} seen; "
            "wanted at least 2 of each: change genes.unseen or enlarge the panel"
        )
    order = np.random.default_rng([seed, _SALT]).permutation(n_genes)
    return np.sort(order[n_unseen:]), np.sort(order[:n_unseen])


def set_apart(genes: FoldGenes, *, share: float, seed: int) -> tuple[FoldGenes, FoldGenes | None]:
    """The seen and the unseen genes of a fold, with their embeddings; all are seen where ``share`` is 0."""
    if not share:
        return genes, None
    seen, unseen = split_genes(len(genes.symbols), share=share, seed=seed)
    return _take(genes, seen), _take(genes, unseen)


def unseen_in_test(
    sections: Iterable[AnnData], unseen: FoldGenes | None, *, seen: Sequence[str], preset: str
) -> UnseenGenes | None:
    """The unseen genes with what the test sections measure of them."""
    if unseen is None:
        return None
    panel = [*seen, *unseen.symbols]
    target = [normalise(panel_counts(section, panel), preset)[:, len(seen) :] for section in sections]
    return UnseenGenes(unseen.symbols, unseen.vectors, np.concatenate(target))


def _take(genes: FoldGenes, positions: Int[np.ndarray, " some"]) -> FoldGenes:
    symbols = tuple(genes.symbols[row] for row in positions)
    return replace(genes, symbols=symbols, vectors=genes.vectors[positions])
