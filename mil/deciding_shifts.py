"""What one slide can say of chance: its deciding tiles moved over the slide as one pattern.

Neighbouring tiles resemble one another, in attention and in expression. Shuffling tiles destroys that and finds too
much. Moving the whole pattern keeps how tiles hang together and breaks only where they lie.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from hage_transfer.mil.deciding_genes import blocks, midranks, rank_biserial

MIN_SHIFTS = 19
N_SHIFTS = 199


@dataclass(frozen=True)
class Shifted:
    """Moved patterns.

    Attributes:
        masks: deciding tiles of each; none where there are too few.
        reason: why there are none; None where there are some.
    """

    masks: Bool[np.ndarray, "shift tile"]
    reason: str | None = None


def shifted_patterns(
    coords_px: Float[np.ndarray, "tile 2"] | Int[np.ndarray, "tile 2"],
    deciding: Bool[np.ndarray, " tile"],
    *,
    number: int = N_SHIFTS,
    seed: int = 0,
) -> Shifted:
    """The deciding tiles moved by whole tiles, out at one side of the slide's bounding box and in at the other.

    Tiles that land where there is no tissue are left out; a shift that keeps fewer than half of them does not count.
    All shifts are taken where there are no more than ``number``, else that many drawn at random.

    Reference: Harms, Condit, Hubbell, Foster 2001 (torus translation test).

    Args:
        coords_px: place of each tile.
        deciding: the pattern.
        number: of shifts, at most.
        seed: of the draw.
    """
    cells, shape = _grid(np.asarray(coords_px, dtype=np.float64))
    raster = np.full(shape, -1, dtype=np.int64)
    raster[cells[:, 1], cells[:, 0]] = np.arange(len(cells))
    places = np.arange(1, shape[0] * shape[1])
    if len(places) > number:
        places = np.sort(np.random.default_rng(seed).choice(places, number, replace=False))
    masks = []
    for down, right in zip(*np.divmod(places, shape[1]), strict=True):
        source = raster[(cells[:, 1] - down) % shape[0], (cells[:, 0] - right) % shape[1]]
        mask = deciding[source] & (source >= 0)
        if mask.sum() >= max(1, deciding.sum() / 2) and not mask.all():
            masks.append(mask)
    if len(masks) < MIN_SHIFTS:
        reason = f"{len(masks)} shifts of the pattern stay on tissue; at least {MIN_SHIFTS} are needed"
        return Shifted(np.zeros((0, len(cells)), dtype=bool), reason)
    return Shifted(np.stack(masks))


def shift_p_values(
    values: Float[np.ndarray, "gene tile"], deciding: Bool[np.ndarray, " tile"], shifted: Shifted
) -> Float[np.ndarray, " gene"]:
    """Share of patterns, the true one among them, whose |rank-biserial| is at least the true one's; NaN without shifts.

    The hypothesis is that attention and a gene vary over the slide independently of each other. It is not corrected
    for the number of genes, and its smallest value is 1 / (shifts + 1). Of independent smooth fields (Gaussian, 2 and 4
    tiles wide) on 40 x 40 tiles or a disc of them, 10% deciding, 2% to 9% had p <= 0.05 over 1,200 genes each;
    shuffling tiles instead gave 57% to 77%.
    """
    if not len(shifted.masks):
        return np.full(len(values), np.nan)
    masks = np.concatenate([deciding[None], shifted.masks])
    parts = []
    for rows in blocks(values):
        effects = np.abs(rank_biserial(midranks(rows), masks))
        parts.append((effects >= effects[:, :1] - 1e-12).mean(1))
    return np.concatenate(parts)


def _grid(coords: Float[np.ndarray, "tile 2"]) -> tuple[Int[np.ndarray, "tile 2"], tuple[int, int]]:
    """Column and row of each tile on the grid of their spacing, and (rows, columns)."""
    if len(coords) < 2:
        return np.zeros((len(coords), 2), dtype=np.int64), (1, 1)
    distance, _ = cKDTree(coords).query(coords, k=2)
    spacing = float(np.median(distance[:, 1])) or 1.0
    cells = np.rint((coords - coords.min(0)) / spacing).astype(np.int64)
    columns, rows = (cells.max(0) + 1).tolist()
    return cells, (rows, columns)
