"""What gene embeddings are exchanged for, to learn whether they say anything: random, one mean, permuted.

GE sums over a set of keys and values, so it is invariant to the order of the genes, and nothing ties gene j's
embedding to output j of an MLP predictor. With ``model.predictor: mlp`` a permuted control is therefore equal to the
original by construction; ``random`` and ``mean`` can speak, and with ``gene_conditioned`` all three can.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float32

from hage_transfer.pretrain.dataset import FoldData

Control = Literal["none", "random", "mean", "permuted"]


def controlled(
    vectors: Float32[np.ndarray, "gene gene_dim"], kind: Control, *, seed: int
) -> Float32[np.ndarray, "gene gene_dim"]:
    """The embeddings under a control.

    Args:
        vectors: one row for each gene.
        kind: ``none``: as they are; ``random``: Gaussian directions of the same norm, row by row; ``mean``: every row
            is the mean of all; ``permuted``: the rows in another order, with no row left in its place.
        seed: of the draw.

    Raises:
        ValueError: unknown kind.
    """
    generator = np.random.default_rng(seed)
    if kind == "none":
        return vectors
    if kind == "random":
        return with_norms(generator.standard_normal(vectors.shape), np.linalg.norm(vectors, axis=1))
    if kind == "mean":
        return np.repeat(vectors.mean(0, keepdims=True), len(vectors), axis=0)
    if kind == "permuted":
        return vectors[derangement(len(vectors), generator)]
    raise ValueError(f"unknown control {kind!r}; valid: none, random, mean, permuted")


def control_genes(data: FoldData, kind: Control, *, seed: int) -> FoldData:
    """The fold with its gene embeddings under a control; genes kept from training are drawn together with the panel."""
    if kind == "none":
        return data
    unseen = data.unseen
    together = data.gene_vectors if unseen is None else np.concatenate([data.gene_vectors, unseen.vectors])
    vectors = controlled(together, kind, seed=seed)
    n_seen = len(data.gene_vectors)
    source = f"{data.gene_source}; control: {kind}"
    if unseen is not None:
        unseen = replace(unseen, vectors=vectors[n_seen:])
    return replace(data, gene_vectors=vectors[:n_seen], gene_source=source, unseen=unseen)


def with_norms(directions: np.ndarray, norms: Float32[np.ndarray, " gene"]) -> Float32[np.ndarray, "gene gene_dim"]:
    """Rows of the given directions and norms."""
    return (directions / np.linalg.norm(directions, axis=1, keepdims=True) * norms[:, None]).astype(np.float32)


def derangement(n: int, generator: np.random.Generator) -> np.ndarray:
    """An order of ``n`` rows in which none keeps its place: one cycle through all (for n = 1 there is none)."""
    order = generator.permutation(n)
    result = np.empty(n, dtype=np.int64)
    result[order] = np.roll(order, 1)
    return result
