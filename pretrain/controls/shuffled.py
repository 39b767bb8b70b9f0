"""Expression shuffled over the spots of each section: the same counts, none beside its own image."""

from dataclasses import replace

import numpy as np

from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.made_rows import taken


def shuffle_expression(spots: Spots, *, seed: int) -> Spots:
    """Spots whose counts and targets (of all genes together) changed places within their section; features stay.

    Genes keep their correlations and sections their levels, so what is lost is the tie of image and expression alone.

    Args:
        spots: of a fold's training sections.
        seed: of the order.
    """
    order = np.arange(len(spots))
    rng = np.random.default_rng(seed)
    for number in range(len(spots.section_names)):
        rows = np.flatnonzero(spots.section == number)
        order[rows] = rng.permutation(rows)
    return replace(spots, counts=taken(spots.counts, order), target=taken(spots.target, order))
