"""What a trial's predictions begin at: a ridge on its own training spots, settings chosen inside them."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int

from hage_transfer.models.linear_start import LinearStart
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.dataset import FoldData, Spots
from hage_transfer.pretrain.ridges import BAR, FULL, RIDGES, Ridge, fitted_map


def new_start(data: FoldData, config: PretrainConfig, rows: Int[np.ndarray, " train"]) -> LinearStart | None:
    """The start that ``model.start`` asks for, fitted on ``rows``; None where it asks for none."""
    kind = config.model.start
    if kind == "none":
        return None
    train = _only(data.train, rows)
    family = Ridge("ridge") if kind == "ridge" else RIDGES[BAR]
    (_, alpha, rank), _ = family.choose(train, unit=config.split.unit)
    ridge = fitted_map(train, alpha=alpha, rank=rank)
    if kind != "low_rank":
        return LinearStart(ridge)
    most = min(ridge.weight.shape)
    vectors = torch.from_numpy(data.gene_vectors)
    return LinearStart(ridge, rank=most if rank == FULL else int(rank), gene_vectors=vectors)


def _only(spots: Spots, rows: Int[np.ndarray, " row"]) -> Spots:
    """Some of the spots, as arrays in memory."""
    sections, section = np.unique(spots.section[rows], return_inverse=True)
    arrays = {name: np.asarray(getattr(spots, name)[rows]) for name in ("features", "counts", "target", "coords_px")}
    return replace(
        spots,
        **arrays,
        section=section,
        section_names=tuple(spots.section_names[one] for one in sections),
        patient=tuple(spots.patient[one] for one in sections),
        spot_names=tuple(spots.spot_names[row] for row in rows),
        patches=None,
    )
