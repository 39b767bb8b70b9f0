"""Nuclei: a small library of stamps of each kind, and where they lie."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float

N_ANGLES = 12


@dataclass(frozen=True, kw_only=True)
class NucleusKind:
    """How nuclei of one kind look.

    Attributes:
        radius_px: mean radius (geometric mean of the half axes), at 0.5 um per px.
        radius_spread: standard deviation of the radius, relative.
        elongation: mean ratio of the axes.
        irregularity: depth of the outline's dents, relative to the radius.
        darkness: haematoxylin of the chromatin.
        clumping: contrast of the chromatin.
        rim: how much darker the membrane is.
        nucleoli: nucleoli in a nucleus, on average.
        n_shapes: how many shapes the library holds.
    """

    radius_px: float
    radius_spread: float
    elongation: float
    irregularity: float
    darkness: float
    clumping: float
    rim: float
    nucleoli: float
    n_shapes: int = 24


KINDS = {
    "tumour": NucleusKind(
        radius_px=9.2,
        radius_spread=0.13,
        elongation=1.22,
        irregularity=0.05,
        darkness=0.72,
        clumping=0.16,
        rim=0.26,
        nucleoli=0.5,
    ),
    # The programme: larger and more uneven nuclei, coarse chromatin, nucleoli.
    "activated": NucleusKind(
        radius_px=9.5,
        radius_spread=0.19,
        elongation=1.27,
        irregularity=0.08,
        darkness=0.73,
        clumping=0.21,
        rim=0.27,
        nucleoli=1.0,
    ),
    "mitosis": NucleusKind(
        radius_px=6.5,
        radius_spread=0.15,
        elongation=2.1,
        irregularity=0.22,
        darkness=1.55,
        clumping=0.10,
        rim=0.0,
        nucleoli=0.0,
        n_shapes=8,
    ),
    "lymphocyte": NucleusKind(
        radius_px=6.0,
        radius_spread=0.10,
        elongation=1.08,
        irregularity=0.04,
        darkness=1.25,
        clumping=0.22,
        rim=0.10,
        nucleoli=0.0,
    ),
    "fibroblast": NucleusKind(
        radius_px=6.2,
        radius_spread=0.18,
        elongation=3.6,
        irregularity=0.05,
        darkness=0.95,
        clumping=0.12,
        rim=0.12,
        nucleoli=0.0,
    ),
}


@cache
def stamps(kind: str) -> tuple[tuple[Float[np.ndarray, "height width"], ...], ...]:
    """The library of a kind: for each shape, one stamp (haematoxylin amounts) for each of ``N_ANGLES`` angles."""
    settings = KINDS[kind]
    rng = np.random.default_rng([*kind.encode()])
    return tuple(_shape(rng, settings) for _ in range(settings.n_shapes))


def stamp_all(
    haematoxylin: Float[np.ndarray, "height width"],
    centres_px: Float[np.ndarray, "nucleus 2"],
    kind: str,
    rng: np.random.Generator,
    *,
    angles: Float[np.ndarray, " nucleus"] | None = None,
) -> None:
    """Stamps nuclei of a kind at ``centres_px`` (x, y), in place; ``angles`` (radians) or any at random."""
    library = stamps(kind)
    height, width = haematoxylin.shape
    shapes = rng.integers(0, len(library), len(centres_px))
    turns = rng.uniform(0, np.pi, len(centres_px)) if angles is None else angles
    turn_index = np.round(turns / np.pi * N_ANGLES).astype(int) % N_ANGLES
    depths = np.exp(rng.normal(0, 0.10, len(centres_px))).astype(np.float32)
    for (x, y), shape, turn, depth in zip(centres_px.astype(int), shapes, turn_index, depths, strict=True):
        stamp = library[shape][turn]
        half = stamp.shape[0] // 2
        top, left = max(0, half - y), max(0, half - x)
        bottom, right = min(stamp.shape[0], half + height - y), min(stamp.shape[1], half + width - x)
        if top >= bottom or left >= right:
            continue
        window = haematoxylin[y - half + top : y - half + bottom, x - half + left : x - half + right]
        np.maximum(window, stamp[top:bottom, left:right] * depth, out=window)


def jittered_lattice(
    rng: np.random.Generator, shape_px: tuple[int, int], *, spacing_px: float, jitter: float
) -> Float[np.ndarray, "place 2"]:
    """Places (x, y) on a hexagonal lattice, moved at random by ``jitter`` (share of the spacing)."""
    height, width = shape_px
    rows = np.arange(0, height, spacing_px * 0.866)
    columns = np.arange(0, width, spacing_px)
    x, y = np.meshgrid(columns, rows)
    x = x + (np.arange(len(rows)) % 2)[:, None] * spacing_px / 2
    places = np.stack([x.ravel(), y.ravel()], 1)
    places += rng.normal(0, jitter * spacing_px, places.shape)
    inside = (places >= 0).all(1) & (places[:, 0] < width) & (places[:, 1] < height)
    return places[inside]


def _shape(rng: np.random.Generator, kind: NucleusKind) -> tuple[np.ndarray, ...]:
    radius = kind.radius_px * np.exp(rng.normal(0, kind.radius_spread))
    ratio = max(1.0, kind.elongation * np.exp(rng.normal(0, 0.10)))
    long, short = radius * np.sqrt(ratio), radius / np.sqrt(ratio)
    half = int(np.ceil(long * (1 + 2 * kind.irregularity))) + 3
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    angle = np.arctan2(y, x)
    dents = sum(
        kind.irregularity * rng.normal() / order * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        for order in (2, 3, 4, 5)
    )
    # 0 in the centre, 1 on the outline; the edge is about 1.5 px soft.
    depth = np.sqrt((x / long) ** 2 + (y / short) ** 2) / (1 + dents)
    body = np.clip((1 - depth) * short / 1.5 + 0.5, 0, 1)
    clumps = cv2.GaussianBlur(rng.standard_normal(x.shape).astype(np.float32), (0, 0), 1.6)
    texture = 1 + kind.clumping * clumps / clumps.std() + kind.rim * np.exp(-(((1 - depth) * short / 1.6) ** 2))
    for _ in range(rng.poisson(kind.nucleoli)):
        spot_x, spot_y = rng.normal(0, 0.3 * long), rng.normal(0, 0.3 * short)
        texture = texture + 0.7 * np.exp(-(((x - spot_x) ** 2 + (y - spot_y) ** 2) / 4.5))
    stamp = (kind.darkness * body * np.clip(texture, 0.25, None)).astype(np.float32)
    return tuple(_turn(stamp, 180.0 * step / N_ANGLES) for step in range(N_ANGLES))


def _turn(stamp: np.ndarray, degrees: float) -> np.ndarray:
    centre = (stamp.shape[1] / 2 - 0.5, stamp.shape[0] / 2 - 0.5)
    return cv2.warpAffine(stamp, cv2.getRotationMatrix2D(centre, -degrees, 1.0), stamp.shape[::-1])
