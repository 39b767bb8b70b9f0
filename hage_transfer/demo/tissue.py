"""A tissue map: where a piece of tissue lies, of what it consists, and where its tumour is activated.

Image and counts are both made from the map, and from nothing else: what the genes say and what the eye sees agree
because they have one cause.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from hage_transfer.demo.noise import smooth_noise

CELL_PX = 8
MPP_UM_PER_PX = 0.5


@dataclass(frozen=True, kw_only=True)
class TissueTraits:
    """What differs between patients.

    Attributes:
        tumour: share of the tissue that is tumour, about.
        lymphoid: share that is lymphoid, about.
        fat: share that is fat, about.
        nest_px: size of the nests that tumour grows in, in px.
        lumens: how readily nests open into glands, 0 to 1.
        activation: share of the tumour where the programme is on, about, 0 to 1.
        activation_px: size of activated regions, in px.
    """

    tumour: float = 0.5
    lymphoid: float = 0.12
    fat: float = 0.12
    nest_px: float = 170.0
    lumens: float = 0.3
    activation: float = 0.4
    activation_px: float = 520.0


@dataclass(frozen=True, kw_only=True)
class TissueMap:
    """Fields on a grid of ``CELL_PX`` px; the first five are positive inside and negative outside.

    Attributes:
        outline: tissue against glass.
        tumour: nests of tumour; stroma is what no other field claims.
        lumen: open spaces inside nests.
        lymphoid: lymphocyte aggregates.
        fat: adipose tissue.
        activation: how strongly the programme is on, 0 to 1; it matters inside tumour alone.
        crowding: share of the places for a nucleus that hold one, 0 to 1; it carries no label.
        shape_px: (height, width) of the image.
    """

    outline: Float[np.ndarray, "row column"]
    tumour: Float[np.ndarray, "row column"]
    lumen: Float[np.ndarray, "row column"]
    lymphoid: Float[np.ndarray, "row column"]
    fat: Float[np.ndarray, "row column"]
    activation: Float[np.ndarray, "row column"]
    crowding: Float[np.ndarray, "row column"]
    shape_px: tuple[int, int]

    def shares(self) -> dict[str, Float[np.ndarray, "row column"]]:
        """1 where a compartment is and 0 elsewhere, each cell in at most one; ``activated`` is within ``tumour``."""
        tissue = self.outline > 0
        fat = tissue & (self.fat > 0)
        lymphoid = tissue & ~fat & (self.lymphoid > 0)
        nest = tissue & ~fat & ~lymphoid & (self.tumour > 0)
        tumour = nest & (self.lumen <= 0)
        masks = {
            "tumour": tumour,
            "stroma": tissue & ~fat & ~lymphoid & ~nest,
            "lymphoid": lymphoid,
            "fat": fat,
        }
        shares = {name: mask.astype(np.float32) for name, mask in masks.items()}
        shares["activated"] = shares["tumour"] * self.activation
        return shares


def make_tissue(
    rng: np.random.Generator, shape_px: tuple[int, int], traits: TissueTraits, *, fills: bool = False
) -> TissueMap:
    """Draws a tissue map of ``shape_px`` (height, width); ``fills``: tissue reaches every border of the image."""
    shape = (-(-shape_px[0] // CELL_PX), -(-shape_px[1] // CELL_PX))
    outline = np.full(shape, 3.0, np.float32) if fills else _outline(rng, shape)
    region = smooth_noise(rng, shape, scale=900 / CELL_PX, octaves=2)
    nests = smooth_noise(rng, shape, scale=traits.nest_px / CELL_PX, octaves=2)
    # Nests crowd where the region is tumour and are rare elsewhere.
    tumour = 0.9 * nests + 0.8 * _above(region, traits.tumour)
    lumen = smooth_noise(rng, shape, scale=70 / CELL_PX) - (2.6 - 1.5 * traits.lumens)
    lymphoid_noise = smooth_noise(rng, shape, scale=330 / CELL_PX, octaves=3)
    fat = _above(smooth_noise(rng, shape, scale=450 / CELL_PX, octaves=3) - 0.8 * region, traits.fat)
    field = _above(smooth_noise(rng, shape, scale=traits.activation_px / CELL_PX, octaves=2), traits.activation)
    return TissueMap(
        outline=outline,
        tumour=tumour,
        lumen=np.minimum(lumen, 0.8 * (tumour - 0.35)),
        lymphoid=_above(lymphoid_noise - 0.4 * np.abs(tumour), traits.lymphoid),
        fat=fat,
        activation=1 / (1 + np.exp(-5.0 * field)),
        crowding=np.clip(0.78 + 0.13 * smooth_noise(rng, shape, scale=400 / CELL_PX, octaves=2), 0.45, 1.0),
        shape_px=shape_px,
    )


def disc_means(
    field: Float[np.ndarray, "row column"], centres_px: Float[np.ndarray, "spot 2"], *, diameter_px: float
) -> Float[np.ndarray, " spot"]:
    """Mean of a map's field over a disc of ``diameter_px`` around each centre (x, y) in px."""
    side = 2 * round(diameter_px / CELL_PX / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.float32)
    means = cv2.filter2D(np.ascontiguousarray(field, np.float32), -1, kernel / kernel.sum())
    columns, rows = (centres_px / CELL_PX).astype(int).T
    return means[np.clip(rows, 0, field.shape[0] - 1), np.clip(columns, 0, field.shape[1] - 1)]


def _outline(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A piece of tissue in the middle of the glass: a rough polygon, cut as a knife cuts."""
    rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    field = np.full(shape, np.inf, np.float32)
    start = rng.uniform(0, 2 * np.pi)
    for angle in start + np.arange(6) * np.pi / 3 + rng.uniform(-0.35, 0.35, 6):
        edge = rng.uniform(0.72, 0.93) - (np.cos(angle) * columns + np.sin(angle) * rows)
        field = np.minimum(field, edge)
    ragged = 0.035 * smooth_noise(rng, shape, scale=260 / CELL_PX, octaves=3)
    return (10 * (field + ragged)).astype(np.float32)


def _above(field: np.ndarray, share: float) -> np.ndarray:
    """The field less its own quantile, so that ``share`` of it is positive."""
    if share <= 0:
        return np.full_like(field, -3.0)
    spread = float(field.std())
    return ((field - np.quantile(field, 1 - share)) / spread).astype(np.float32)
