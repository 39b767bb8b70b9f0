"""The genes that each region attends to, as rows of a csv."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.models.region_attention import HeadAttention, RegionAttention
from hage_transfer.running.atomic import write_csv

COLUMNS = (
    "region", "n_spots", "encoder", "head", "gene", "attention", "times_uniform", "attention_elsewhere",
    "effect_size", "rank_by_attention", "rank_by_effect",
)  # fmt: skip


def write_attention_table(
    path: Path,
    attention: RegionAttention,
    *,
    genes: Sequence[str],
    regions: Sequence[str],
    n_spots: Sequence[int],
    encoders: Sequence[str],
    n_top: int,
) -> None:
    """Writes, for each region and head, the genes of highest attention and those of largest effect size.

    ``encoder`` and ``head`` are `mean` for the mean over all; ``times_uniform`` is attention times |G|;
    ``attention_elsewhere`` the mean over the other regions' spots; ``effect_size`` Cohen's d between the two, which
    describes and tests nothing (``region_attention``).

    Args:
        path: the csv.
        attention: of the section or slide.
        genes: symbols.
        regions: their names.
        n_spots: spots of each.
        encoders: encoder directories, in the ensemble's order.
        n_top: genes by attention, and genes by effect size.
    """
    rows = (
        row
        for head in attention.heads
        for row in _rows(head, genes=genes, regions=regions, n_spots=n_spots, encoders=encoders, n_top=n_top)
    )
    write_csv(path, COLUMNS, rows)


def strongest_gene(attention: RegionAttention, genes: Sequence[str]) -> str | None:
    """The gene whose mean attention differs most between a region and the rest; None where there is no rest."""
    mean = attention.heads[0]
    difference = np.nan_to_num(np.abs(mean.mean - mean.rest), nan=0.0)
    return genes[int(difference.max(0).argmax())] if difference.any() else None


def _rows(
    head: HeadAttention,
    *,
    genes: Sequence[str],
    regions: Sequence[str],
    n_spots: Sequence[int],
    encoders: Sequence[str],
    n_top: int,
) -> Iterator[dict[str, Any]]:
    for number, region in enumerate(regions):
        by_attention = _ranks(head.mean[number])
        by_effect = _ranks(head.effect[number])
        chosen = np.flatnonzero((by_attention <= n_top) | (by_effect <= n_top))
        for gene in chosen[np.argsort(by_attention[chosen], kind="stable")]:
            effect = head.effect[number, gene]
            yield {
                "region": region,
                "n_spots": n_spots[number],
                "encoder": "mean" if head.encoder is None else encoders[head.encoder],
                "head": "mean" if head.head is None else head.head,
                "gene": genes[gene],
                "attention": f"{head.mean[number, gene]:.6g}",
                "times_uniform": f"{head.mean[number, gene] / head.uniform:.4f}",
                "attention_elsewhere": f"{head.rest[number, gene]:.6g}" if np.isfinite(head.rest[number, gene]) else "",
                "effect_size": f"{effect:.3f}" if np.isfinite(effect) else "",
                "rank_by_attention": by_attention[gene],
                "rank_by_effect": by_effect[gene] if np.isfinite(effect) else "",
            }


def _ranks(values: np.ndarray) -> np.ndarray:
    """1 for the highest; values that are not defined come last and past any top."""
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    ranks = np.empty(len(values), dtype=int)
    ranks[order] = np.arange(1, len(values) + 1)
    ranks[~np.isfinite(values)] = len(values) + 1
    return ranks
