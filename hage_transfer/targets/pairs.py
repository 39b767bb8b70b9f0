"""Concordance of pairs over many draws of the same units."""

import numpy as np
from jaxtyping import Float, Int

MOST_PAIRED = 3000
"""Units whose pairs are kept in memory."""


def concordance_draws(
    values: Float[np.ndarray, "unit 2"], risk: Float[np.ndarray, " unit"], weights: Int[np.ndarray, "draw unit"]
) -> Float[np.ndarray, " draw"]:
    """Harrell's C of units drawn again: pairs are looked at once, and counted as often as their members are drawn."""
    if len(values) > MOST_PAIRED:
        return np.full(len(weights), np.nan)
    time, event = values[:, 0], values[:, 1] > 0
    earlier = (time[:, None] < time) | ((time[:, None] == time) & ~event)
    usable = (event[:, None] & earlier).astype(np.float32)
    ahead = risk[:, None] - risk
    right = usable * np.where(np.abs(ahead) <= 1e-8, 0.5, ahead > 0).astype(np.float32)
    drawn = weights.astype(np.float32)
    both = [np.einsum("ij,ij->i", drawn @ table, drawn) for table in (right, usable)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return (both[0] / both[1]).astype(np.float64)
