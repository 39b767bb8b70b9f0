"""How far apart the spots of an array lie in the image: the ruler of a section."""

import numpy as np
from jaxtyping import Float

_SAMPLE = 4000
_TOLERANCE = 0.15


def spacing_px(coords_px: Float[np.ndarray, "spot 2"]) -> float:
    """Distance between neighbouring spots of a grid, pixels; NaN for fewer than two spots.

    The median over the distances of each spot to its four nearest, without those a quarter longer than is usual for
    the nearest: diagonals and gaps. The nearest alone would be biased, since spots stray from their grid by some
    pixels and the nearest of four is the one that strayed closest (her2st: 273 px, where the grid's pitch is 290).
    """
    if len(coords_px) < 2:
        return float("nan")
    distances = _to_nearest(coords_px)[0]
    usual = np.median(distances[:, 0])
    return float(np.median(distances[distances <= 1.25 * usual]))


def is_grid(coords_px: Float[np.ndarray, "spot 2"]) -> bool:
    """Whether most spots have their nearest neighbour at one distance, as on an array; cells have not."""
    if len(coords_px) < 2:
        return False
    nearest = _to_nearest(coords_px)[0][:, 0]
    usual = np.median(nearest)
    return bool(usual > 0 and (np.abs(nearest - usual) <= _TOLERANCE * usual).mean() >= 0.5)


def um_per_px_of_array(coords_px: Float[np.ndarray, "spot 2"], array_um: Float[np.ndarray, "spot 2"]) -> float | None:
    """Resolution from the spots' places on the array, which tell it even where neighbours are missing.

    Args:
        coords_px: centres in the image.
        array_um: centres on the array, micrometres.

    Returns:
        The median over neighbours of their distance on the array per distance in the image; None where places and
        positions are not of one grid, or there are fewer than two spots.
    """
    if len(coords_px) < 2 or not np.isfinite(array_um).all():
        return None
    distance_px, place, others = _to_nearest(coords_px)
    distance_um = np.linalg.norm(array_um[place][:, None] - array_um[others], axis=2)
    apart = (distance_px > 0) & (distance_um > 0)
    if apart.sum() < 0.5 * apart.size:
        return None
    ratios = distance_um[apart] / distance_px[apart]
    usual = np.median(ratios)
    return float(usual) if (np.abs(ratios - usual) <= _TOLERANCE * usual).mean() >= 0.5 else None


def _to_nearest(coords_px: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of spots to their four nearest, the spots' rows and the nearest ones'; of a sample where many are."""
    from scipy.spatial import cKDTree  # slow to load: an empty folder is refused without it

    place = np.linspace(0, len(coords_px) - 1, min(len(coords_px), _SAMPLE)).astype(int)
    n_neighbours = min(4, len(coords_px) - 1)
    distances, others = cKDTree(coords_px).query(coords_px[place], k=n_neighbours + 1)
    return distances[:, 1:], place, others[:, 1:]
