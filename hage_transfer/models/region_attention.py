"""Which genes the regions of a section or slide attend to, streamed: never more than one batch of (spot, head, gene).

What attention says and what it does not. A row is the softmax of one spot's queries against the panel's genes: how the
encoder weighs gene embeddings to make that spot's embedding. It is no measurement of expression, and it is not even
tied to the gene's name: attention sums over a set, so exchanging the embeddings of two genes exchanges their columns
and changes nothing else, and genes of like embeddings share attention. Spots that are near one another in embedding
attend alike by construction, so regions found by clustering embeddings differ in attention whatever the genes mean:
the effect sizes describe such a contrast and test nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from sklearn.cluster import KMeans

from hage_transfer.errors import DataError
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.expression_model import ExpressionModel

_ROWS_AT_A_TIME = 512
_CLUSTERED_ROWS = 20_000


@dataclass(frozen=True)
class HeadAttention:
    """Attention of one head (or the mean over heads) by region.

    Attributes:
        encoder: position of the model in the ensemble; None for the mean over models.
        head: number of the head; None for the mean over heads.
        mean: mean attention of each region's spots to each gene; a row sums to 1 over the encoder's panel.
        rest: the same over the spots outside the region.
        effect: (mean - rest) / pooled standard deviation over spots (Cohen's d); NaN where a side has under two spots.
        uniform: attention if every gene had the same share, 1/|G|.
    """

    encoder: int | None
    head: int | None
    mean: Float[np.ndarray, "region gene"]
    rest: Float[np.ndarray, "region gene"]
    effect: Float[np.ndarray, "region gene"]
    uniform: float


@dataclass(frozen=True)
class RegionAttention:
    """Attention of a section or slide.

    Attributes:
        by_spot: mean over heads and models.
        heads: the mean over all, then every head of every model.
    """

    by_spot: Float32[np.ndarray, "spot gene"]
    heads: tuple[HeadAttention, ...]


def attends_to_genes(ensemble: ExpressionEnsemble) -> bool:
    """Whether every model was trained with gene embeddings."""
    return all(model.encoder.gene_embeddings is not None for model in ensemble.models)


def region_attention(
    ensemble: ExpressionEnsemble,
    features: Float[np.ndarray, "spot feature"],
    regions: Int[np.ndarray, " spot"],
    *,
    n_regions: int,
) -> RegionAttention:
    """Attention by spot and by region.

    Args:
        ensemble: models that attend to genes.
        features: of their frozen encoder.
        regions: number of each spot's region, 0 to ``n_regions`` - 1.
        n_regions: how many there are.

    Raises:
        DataError: a model was trained without gene embeddings.
    """
    if not attends_to_genes(ensemble):
        raise DataError("an encoder was trained without gene embeddings (model.gene_informed false): no attention")
    by_spot = np.zeros((len(features), len(ensemble.genes)), np.float32)
    heads: list[HeadAttention] = []
    for number, model in enumerate(ensemble.models):
        sums = _Sums(model.encoder.n_heads, n_regions, len(ensemble.genes))
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            with torch.inference_mode():
                weights = model.encoder.gene_attention(model.to_device(features[part])).cpu().numpy()
            weights = ensemble.own(model, weights)
            by_spot[part] += weights.mean(1) / len(ensemble.models)
            sums.add(weights, regions[part])
        heads += [sums.contrast(head, encoder=number, uniform=1 / len(model.genes)) for head in range(len(sums.total))]
    mean = _Sums(1, n_regions, len(ensemble.genes))
    for start in range(0, len(features), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        mean.add(by_spot[part, None], regions[part])
    uniform = float(np.mean([1 / len(model.genes) for model in ensemble.models]))
    return RegionAttention(by_spot, (mean.contrast(0, encoder=None, uniform=uniform), *heads))


def embedding_regions(
    model: ExpressionModel, features: Float[np.ndarray, "spot feature"], *, n_regions: int, seed: int
) -> Int[np.ndarray, " spot"]:
    """k-means on the gene-informed embeddings of one model, regions numbered from the largest.

    Centres are fitted on at most 20,000 rows drawn at random; all rows are then assigned, a batch at a time.

    Raises:
        DataError: fewer rows than regions.
    """
    if len(features) < n_regions:
        raise DataError(f"{n_regions} regions are wanted of {len(features)} spots; give a smaller regions=")
    rows = np.arange(len(features))
    if len(rows) > _CLUSTERED_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _CLUSTERED_ROWS, replace=False))
    clusters = KMeans(n_clusters=n_regions, n_init=4, random_state=seed).fit(_embed(model, features[rows]))
    parts = [
        clusters.predict(_embed(model, features[start : start + _CLUSTERED_ROWS]))
        for start in range(0, len(features), _CLUSTERED_ROWS)
    ]
    labels = np.concatenate(parts)
    order = np.argsort(-np.bincount(labels, minlength=n_regions), kind="stable")
    return np.argsort(order)[labels]


@torch.inference_mode()
def _embed(model: ExpressionModel, features: Float[np.ndarray, "spot feature"]) -> Float32[np.ndarray, "spot embed"]:
    parts: Sequence[np.ndarray] = [
        model.encoder(model.to_device(features[start : start + _ROWS_AT_A_TIME])).cpu().numpy()
        for start in range(0, len(features), _ROWS_AT_A_TIME)
    ]
    return np.concatenate(parts)


class _Sums:
    """Counts, sums and sums of squares by head, region and gene; taken about 0, in float64."""

    def __init__(self, n_heads: int, n_regions: int, n_genes: int) -> None:
        self.count = np.zeros(n_regions)
        self.total = np.zeros((n_heads, n_regions, n_genes))
        self.squares = np.zeros_like(self.total)

    def add(self, weights: Float32[np.ndarray, "spot head gene"], regions: Int[np.ndarray, " spot"]) -> None:
        for region in np.unique(regions):
            rows = weights[regions == region].astype(np.float64)
            self.count[region] += len(rows)
            self.total[:, region] += rows.sum(0)
            self.squares[:, region] += (rows**2).sum(0)

    def contrast(self, head: int, *, encoder: int | None, uniform: float) -> HeadAttention:
        inside, total, squares = self.count[:, None], self.total[head], self.squares[head]
        outside = inside.sum() - inside
        with np.errstate(invalid="ignore", divide="ignore"):  # an empty side becomes NaN
            mean, rest = total / inside, (total.sum(0) - total) / outside
            within = squares - inside * mean**2
            without = squares.sum(0) - squares - outside * rest**2
            pooled = np.sqrt(np.maximum(within + without, 0) / (inside + outside - 2))
            effect = np.where((inside > 1) & (outside > 1) & (pooled > 0), (mean - rest) / pooled, np.nan)
        return HeadAttention(encoder, None if encoder is None else head, mean, rest, effect, uniform)
