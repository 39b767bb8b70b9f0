"""What the compared networks are given: batches of random spots, or whole sections as sequences of spots."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from hage_transfer.data.spot_grid import grid_positions, nearest_spots
from hage_transfer.errors import ConfigError
from hage_transfer.models.section_encoders import N_NEIGHBOURS, SpotInputs
from hage_transfer.pretrain.dataset import Spots

MAX_SECTION_SPOTS = 10_000


class SpotBatch(NamedTuple):
    """Spots with what they are taught by; ``scored`` are those that count, at ``places``, the others are context."""

    inputs: SpotInputs
    target: Float[Tensor, "spot gene"]
    counts: Float[Tensor, "spot gene"]
    section: Int[Tensor, " spot"]
    scored: Bool[Tensor, " spot"]
    places: Int[Tensor, " chosen"]


@dataclass(frozen=True)
class LaidSection:
    """One section's rows in its ``Spots``, with their grid positions and neighbours (indices into ``rows``)."""

    rows: Int[np.ndarray, " row"]
    grid: Int[np.ndarray, "row 2"]
    neighbours: Int[np.ndarray, "row neighbour"]

    def inputs(self, spots: Spots) -> SpotInputs:
        """Features and positions of the section."""
        return SpotInputs(
            torch.from_numpy(spots.features[self.rows]),
            torch.from_numpy(self.grid),
            torch.from_numpy(self.neighbours),
        )


def lay_sections(spots: Spots, *, limit: int = MAX_SECTION_SPOTS) -> list[LaidSection]:
    """Every section of ``spots`` as a sequence, in order.

    Raises:
        ConfigError: a section has more spots than ``limit``: attention over all pairs of them would not end.
    """
    sections = []
    for name in spots.section_names:
        rows = spots.rows_of(name)
        if len(rows) > limit:
            raise ConfigError(
                f"section {name} has {len(rows):,} spots, more than the {limit:,} that the transformers over a whole "
                "section (histogene, hist2st_graph, thitogene_graph) take; leave these methods or this section out"
            )
        if len(rows):
            coords_px = spots.coords_px[rows]
            sections.append(LaidSection(rows, grid_positions(coords_px), nearest_spots(coords_px, k=N_NEIGHBOURS)))
    return sections


class _Sections(Dataset[SpotBatch]):
    """One section an item; all its spots are context, those in ``rows`` are scored."""

    def __init__(self, spots: Spots, laid: Sequence[LaidSection], rows: Int[np.ndarray, " row"]) -> None:
        chosen = np.zeros(len(spots), dtype=bool)
        chosen[rows] = True
        self.spots, self.chosen = spots, chosen
        self.laid = [section for section in laid if chosen[section.rows].any()]

    def __len__(self) -> int:
        return len(self.laid)

    def __getitem__(self, index: int) -> SpotBatch:
        laid = self.laid[index]
        scored = torch.from_numpy(self.chosen[laid.rows])
        return SpotBatch(
            laid.inputs(self.spots),
            torch.from_numpy(self.spots.target[laid.rows]),
            torch.from_numpy(self.spots.counts[laid.rows]),
            torch.from_numpy(self.spots.section[laid.rows]),
            scored,
            scored.nonzero().flatten(),
        )


def section_loader(
    spots: Spots, laid: Sequence[LaidSection], rows: Int[np.ndarray, " row"], *, seed: int | None, min_steps: int = 1
) -> DataLoader[SpotBatch]:
    """Sections one by one, shuffled where there is a seed; repeated until an epoch has ``min_steps``."""
    sections = _Sections(spots, laid, rows)
    if seed is None:
        return DataLoader(sections, sampler=SequentialSampler(sections), batch_size=None)
    generator = torch.Generator().manual_seed(seed)
    n_steps = max(len(sections), min_steps)
    return DataLoader(
        sections, sampler=RandomSampler(sections, num_samples=n_steps, generator=generator), batch_size=None
    )


class _SpotDataset(Dataset[SpotBatch]):
    """Batches by lists of positions in ``rows``; grid positions of the whole section, no neighbours."""

    def __init__(self, spots: Spots, rows: Int[np.ndarray, " row"], grid: Int[np.ndarray, "spot 2"]) -> None:
        self.spots, self.rows, self.grid = spots, rows, grid

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> SpotBatch:
        rows = self.rows[positions]
        return SpotBatch(
            row_inputs(self.spots, rows, self.grid),
            torch.from_numpy(self.spots.target[rows]),
            torch.from_numpy(self.spots.counts[rows]),
            torch.from_numpy(self.spots.section[rows]),
            torch.ones(len(rows), dtype=torch.bool),
            torch.arange(len(rows)),
        )


def spot_grid(spots: Spots) -> Int[np.ndarray, "spot 2"]:
    """Grid positions of every spot, each in its own section."""
    grid = np.zeros((len(spots), 2), dtype=np.int64)
    for name in spots.section_names:
        rows = spots.rows_of(name)
        if len(rows):
            grid[rows] = grid_positions(spots.coords_px[rows])
    return grid


def row_inputs(spots: Spots, rows: Int[np.ndarray, " row"], grid: Int[np.ndarray, "spot 2"]) -> SpotInputs:
    """Inputs of single spots, which know no neighbours."""
    none = torch.empty((len(rows), 0), dtype=torch.int64)
    return SpotInputs(torch.from_numpy(spots.features[rows]), torch.from_numpy(grid[rows]), none)


def row_loader(
    spots: Spots, rows: Int[np.ndarray, " row"], grid: Int[np.ndarray, "spot 2"], *, batch_size: int, seed: int | None
) -> DataLoader[SpotBatch]:
    """Batches of single spots, shuffled where there is a seed."""
    data = _SpotDataset(spots, rows, grid)
    order = (
        SequentialSampler(data) if seed is None else RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    )
    return DataLoader(data, sampler=BatchSampler(order, batch_size, drop_last=False), batch_size=None)
