"""Retrieval: a spot's expression as a weighted mean of the training spots nearest to its image embedding."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

_CHUNK = 128


@dataclass(frozen=True)
class Matches:
    """Library rows that answer each query, nearest first, and their weights, which sum to 1 over a query's."""

    rows: Int[np.ndarray, "query k"]
    weights: Float64[np.ndarray, "query k"]


@torch.inference_mode()
def match(
    queries: Float[Tensor, "query embed"],
    library: Float[Tensor, "library embed"],
    *,
    k: int,
    weighted: bool,
    own: Int[Tensor, " query"] | None = None,
) -> Matches:
    """The k library rows of highest cosine to each query.

    Args:
        queries: image embeddings.
        library: expression embeddings of the training spots.
        k: matches of a query; the whole library where it is smaller.
        weighted: by 1 / (L1 distance)^2 of the embeddings (mclSTExp), else equally (BLEEP).
        own: library row that is the query's own spot, which may not answer it; -1 where it has none.
    """
    unit = functional.normalize(library, dim=1)
    k = min(k, len(library) if own is None else max(len(library) - 1, 1))
    rows, weights = [], []
    for start in range(0, len(queries), _CHUNK):
        part = queries[start : start + _CHUNK]
        cosine = functional.normalize(part, dim=1) @ unit.T
        if own is not None and len(library) > 1:
            mine = own[start : start + _CHUNK]
            cosine[torch.arange(len(part))[mine >= 0], mine[mine >= 0]] = -torch.inf
        nearest = cosine.topk(k, dim=1).indices
        rows.append(nearest)
        weights.append(_inverse_square(part, library[nearest]) if weighted else _equal(nearest))
    return Matches(torch.cat(rows).numpy(), torch.cat(weights).numpy())


def mean_expression(
    matches: Matches, expression: Float32[np.ndarray, "library gene"]
) -> Float32[np.ndarray, "query gene"]:
    """Weighted mean of the matches' expression; never holds (query, k, gene) at once."""
    n_queries, k = matches.rows.shape
    pointers = np.arange(0, n_queries * k + 1, k)
    shape = (n_queries, len(expression))
    weights = csr_array((matches.weights.ravel(), matches.rows.ravel(), pointers), shape=shape)
    return (weights @ expression).astype(np.float32)


def _inverse_square(
    queries: Float[Tensor, "query embed"], matched: Float[Tensor, "query k embed"]
) -> Float64[Tensor, "query k"]:
    distance = (matched - queries[:, None]).abs().sum(-1).double().clamp_min(1e-6)
    weight = distance**-2
    return weight / weight.sum(1, keepdim=True)


def _equal(nearest: Int[Tensor, "query k"]) -> Float64[Tensor, "query k"]:
    return torch.full(nearest.shape, 1 / nearest.shape[1], dtype=torch.float64)
