"""What lies around a spot or tile, added to its features; and features standardised within their own section."""

import numpy as np
from jaxtyping import Float, Float32, Real
from scipy.spatial import cKDTree

REACH = 1.6
"""Neighbours further than this times the spacing of a full grid with as many of them are left out."""


def spot_context(
    features: Float[np.ndarray, "spot feature"],
    coords_px: Real[np.ndarray, "spot 2"],
    *,
    neighbours: int = 0,
    standardise: bool = False,
) -> Float32[np.ndarray, "spot context"]:
    """Features of one section's spots (or one slide's tiles) with their context.

    Args:
        features: of the frozen encoder.
        coords_px: centre of each spot, pixels of one level.
        neighbours: append the mean features of so many nearest spots of the section; 0: none. 8 are the ring around a
            spot of a square grid. Spots beyond ``REACH`` spacings are no neighbours; a spot without any is its own.
        standardise: subtract the section's mean and divide by its standard deviation, feature by feature; constant
            features become 0. It reads all spots of the section, their counts never.

    Returns:
        float32, ``feature`` columns, or twice as many with neighbours.
    """
    rows = np.asarray(features, dtype=np.float32)
    if standardise:
        std = rows.std(0, dtype=np.float64)
        rows = ((rows - rows.mean(0, dtype=np.float64)) / np.where(std > 0, std, 1)).astype(np.float32)
    if neighbours:
        rows = np.concatenate([rows, _neighbour_mean(rows, coords_px, neighbours)], axis=1)
    return rows


def _neighbour_mean(
    rows: Float32[np.ndarray, "spot feature"], coords_px: Real[np.ndarray, "spot 2"], neighbours: int
) -> Float32[np.ndarray, "spot feature"]:
    found = min(neighbours, len(rows) - 1)
    if not found:
        return rows.copy()
    distance, index = cKDTree(coords_px).query(coords_px, k=found + 1)
    spacing = np.median(distance[:, 1])
    near = distance[:, 1:] <= REACH * spacing * max(1.0, np.sqrt(neighbours / 8))
    total = np.zeros(rows.shape, dtype=np.float64)
    for column in range(found):  # one neighbour at a time: a slide's tiles times their neighbours would fill memory
        total += np.where(near[:, column, None], rows[index[:, column + 1]], 0)
    count = near.sum(1, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), rows).astype(np.float32)
