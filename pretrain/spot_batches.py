"""Batches of spots for HAGE's training, gathered row by row from arrays that may be larger than memory."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from hage_transfer.pretrain.dataset import Spots

_VALIDATION_BATCH = 1024
_ROWS_AT_A_TIME = 65_536


class Batch(NamedTuple):
    """Spots of a batch, row by row.

    Attributes:
        features: of the frozen encoder; patches where it is adapted.
        target: normalised expression.
        cluster: of each training spot; 0 in validation.
        section: number of each spot's section.
        spot: position in the training (or validation) split.
        counts: raw, where a loss reads them.
    """

    features: Float[Tensor, "batch feature"] | UInt8[Tensor, "batch side side 3"]
    target: Float[Tensor, "batch gene"]
    cluster: Int[Tensor, " batch"]
    section: Int[Tensor, " batch"]
    spot: Int[Tensor, " batch"]
    counts: Float[Tensor, "batch gene"] | None = None


class SpotDataset(Dataset[Batch]):
    """Batches by lists of positions in ``rows``; nothing is copied before it is asked for."""

    def __init__(
        self,
        spots: Spots,
        rows: Int[np.ndarray, " row"],
        clusters: Int[np.ndarray, " row"],
        *,
        with_counts: bool = False,
    ) -> None:
        self.spots, self.rows, self.clusters, self.with_counts = spots, rows, clusters, with_counts

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> Batch:
        chosen = np.asarray(positions, dtype=np.int64)
        rows = self.rows[chosen]
        return Batch(
            features=torch.from_numpy(np.asarray(self.spots.features[rows])),
            target=torch.from_numpy(np.asarray(self.spots.target[rows])),
            cluster=torch.from_numpy(self.clusters[chosen]),
            section=torch.from_numpy(self.spots.section[rows]),
            spot=torch.from_numpy(chosen),
            counts=torch.from_numpy(np.asarray(self.spots.counts[rows])) if self.with_counts else None,
        )


def training_batches(data: SpotDataset, *, batch_size: int, seed: int) -> DataLoader[Batch]:
    """Shuffled batches, anew each epoch."""
    order = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    return DataLoader(data, sampler=BatchSampler(order, batch_size, drop_last=False), batch_size=None)


def validation_batches(data: SpotDataset) -> DataLoader[Batch]:
    """Batches in order."""
    batches = BatchSampler(SequentialSampler(data), _VALIDATION_BATCH, drop_last=False)
    return DataLoader(data, sampler=batches, batch_size=None)


def feature_scale(
    features: Float32[np.ndarray, "spot feature"], rows: Int[np.ndarray, " row"]
) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
    """Mean and std (ddof = 0) of each feature over ``rows``; in parts, in float64, where they are many."""
    if len(rows) <= _ROWS_AT_A_TIME:
        chosen = torch.from_numpy(features[rows])
        return chosen.mean(0), chosen.std(0, correction=0)
    parts = [rows[start : start + _ROWS_AT_A_TIME] for start in range(0, len(rows), _ROWS_AT_A_TIME)]
    mean = sum(features[part].sum(0, dtype=np.float64) for part in parts) / len(rows)
    squares = sum(((features[part] - mean) ** 2).sum(0) for part in parts) / len(rows)
    return torch.from_numpy(mean).float(), torch.from_numpy(np.sqrt(squares)).float()
