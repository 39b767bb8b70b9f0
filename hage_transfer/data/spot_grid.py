"""Where a section's spots lie relative to each other: integer grid positions and nearest neighbours."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

_TIES = 12  # spots that may lie as far as the last neighbour on a square or hexagonal grid


def spot_pitch(coords_px: Float[np.ndarray, "spot 2"]) -> float:
    """Step of the grid in pixels: median step along the longer axis to the near ones of four neighbours; 1 if alone.

    Distances would be too long and the nearest one too short where spots lie off the grid's points, and either error
    grows with every column counted.
    """
    n = len(coords_px)
    if n < 2:
        return 1.0
    distances, rows = (part[:, 1:] for part in KDTree(coords_px).query(coords_px, k=min(n, 5)))
    steps = np.abs(coords_px[rows] - coords_px[:, None]).max(axis=-1)
    return float(np.median(steps[distances < 1.3 * np.median(distances[:, 0])])) or 1.0


def grid_positions(coords_px: Float[np.ndarray, "spot 2"]) -> Int[np.ndarray, "spot 2"]:
    """Column and row of each spot, counted in pitches from the section's left and top spot.

    Deviation: the published heads index their position tables by the array coordinates of the ST slide, which only
    that platform has; pixel coordinates give the same numbers up to the section's origin.
    """
    return np.rint((coords_px - coords_px.min(axis=0)) / spot_pitch(coords_px)).astype(np.int64)


def nearest_spots(
    coords_px: Float[np.ndarray, "spot 2"], *, k: int, reach: float = 2.0
) -> Int[np.ndarray, "spot neighbour"]:
    """The k nearest other spots of one section within ``reach`` pitches; -1 fills up.

    Equally near spots are taken by their coordinates, so that the order of the rows does not matter. A spot without
    any neighbour is its own: Deviation, since the published mean over its neighbours divides by zero.

    Reference: Hist2ST (Zeng et al. 2022): k = 4, edges longer than two grid steps are cut.
    """
    n = len(coords_px)
    neighbours = np.full((n, k), -1, dtype=np.int64)
    if n > 1:
        distances, candidates = KDTree(coords_px).query(coords_px, k=min(n, k + 1 + _TIES))
        distances = np.round(distances / spot_pitch(coords_px), 6)
        distances[candidates == np.arange(n)[:, None]] = np.inf
        x, y = (coords_px[:, axis][candidates] for axis in (0, 1))
        order = np.lexsort((y, x, distances), axis=1)[:, :k]
        nearest = np.take_along_axis(candidates, order, axis=1)
        near = np.take_along_axis(distances, order, axis=1) <= reach
        neighbours[:, : nearest.shape[1]] = np.where(near, nearest, -1)
    alone = (neighbours < 0).all(axis=1)
    neighbours[alone, 0] = np.flatnonzero(alone)
    return neighbours
