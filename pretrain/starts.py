"""What a trial's predictions begin at: a ridge on its own training spots, settings chosen inside them."""

import numpy as np
import torch
from jaxtyping import Int

from hage_transfer.models.linear_start import LinearStart
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.ridge_path import FULL
from hage_transfer.pretrain.ridges import BAR, PLAIN, RIDGES, Fits, fitted_map


def new_start(data: FoldData, config: PretrainConfig, rows: Int[np.ndarray, " train"]) -> LinearStart | None:
    """The start that ``model.start`` asks for, fitted on ``rows``; None where it asks for none."""
    kind = config.model.start
    if kind == "none":
        return None
    train = data.train.only(rows)
    scores = (PLAIN if kind == "ridge" else RIDGES[BAR]).scores(Fits(train, unit=config.split.unit, context=False))
    _, alpha, rank = max(scores, key=lambda setting: scores[setting])
    ridge = fitted_map(train, alpha=alpha, rank=rank)
    if kind != "low_rank":
        return LinearStart(ridge)
    most = min(ridge.weight.shape)
    vectors = torch.from_numpy(data.gene_vectors)
    return LinearStart(ridge, rank=most if rank == FULL else int(rank), gene_vectors=vectors)
