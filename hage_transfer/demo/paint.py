"""Paints a tissue map as an H&E image: amounts of eosin and haematoxylin first, light through them last."""

from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hage_transfer.demo.noise import cell_walls, fibres, grain, smooth_noise
from hage_transfer.demo.nuclei import jittered_lattice, stamp_all
from hage_transfer.demo.stain import Stain, to_rgb
from hage_transfer.demo.tissue import CELL_PX, TissueMap

SIDE = 1024
STRIP_PX = 64
MITOSES = 0.03
FIELDS = ("outline", "tumour", "lumen", "lymphoid", "fat")


@cache
def _textures() -> dict[str, np.ndarray]:
    """Textures of ``SIDE`` px that repeat without a seam; the same in every image."""
    rng = np.random.default_rng(20011)
    return {
        "fibre": fibres(rng, SIDE, length=42, width=2.6),
        "fine": grain(rng, SIDE, sigma=1.3),
        "coarse": grain(rng, SIDE, sigma=6.0),
        "fat_walls": np.exp(-((cell_walls(rng, SIDE, spacing=86) / 2.0) ** 2)),
        "membranes": np.exp(-((cell_walls(rng, SIDE, spacing=23) / 1.6) ** 2)),
    }


def paint(tissue: TissueMap, stain: Stain, rng: np.random.Generator) -> UInt8[np.ndarray, "height width 3"]:
    """The H&E image of a tissue map in one staining, at 0.5 um per px."""
    textures = dict(_textures())
    warp_x, warp_y = _warp(rng, tissue.shape_px)
    full = {name: _enlarge(getattr(tissue, name), tissue.shape_px) for name in FIELDS}
    full["fibre"] = _sample(textures.pop("fibre"), warp_x, warp_y)
    full |= {name: _tile(texture, tissue.shape_px, rng) for name, texture in textures.items()}
    eosin = np.empty(tissue.shape_px, np.float32)
    haematoxylin = np.empty(tissue.shape_px, np.float32)
    for top in range(0, tissue.shape_px[0], STRIP_PX):  # strips stay in the processor's cache
        strip = slice(top, top + STRIP_PX)
        eosin[strip], haematoxylin[strip] = _dyes(**{name: field[strip] for name, field in full.items()})
    _place_nuclei(haematoxylin, tissue, _fibre_angles(warp_y), rng)
    return to_rgb(haematoxylin, eosin, stain, rng)


def _dyes(
    *,
    outline: np.ndarray,
    tumour: np.ndarray,
    lumen: np.ndarray,
    lymphoid: np.ndarray,
    fat: np.ndarray,
    fibre: np.ndarray,
    fine: np.ndarray,
    coarse: np.ndarray,
    fat_walls: np.ndarray,
    membranes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Eosin and haematoxylin of everything but nuclei."""
    rough = 0.05 * coarse
    inside = _soft(outline + 2 * rough, 6.0)
    fatty = _soft(fat + 3 * rough, 9.0)
    immune = _soft(lymphoid + rough, 3.5)
    border = tumour + rough
    nest = _soft(border, 12.0)
    # Tumour shrinks away from stroma in fixation: a thin bright cleft along part of the border.
    cleft = np.exp(-(((border + 0.05) / 0.035) ** 2)) * np.clip(0.9 * fibre, 0, 0.8)
    slit = np.clip(1.9 * (fibre - 1.45), 0, 0.85)
    stroma_eosin = np.clip(0.50 + 0.17 * fibre + 0.05 * coarse, 0.08, None) * (1 - slit)
    tumour_eosin = np.clip(0.36 + 0.05 * fine + 0.05 * coarse + 0.10 * membranes, 0.05, None)
    eosin = (stroma_eosin + (tumour_eosin - stroma_eosin) * nest) * (1 - 0.5 * immune)
    haematoxylin = 0.05 + 0.02 * fibre + nest * (0.10 + 0.03 * fine + 0.02 * coarse) + immune * 0.08
    open_space = np.clip(_soft(lumen + rough, 9.0) * nest + cleft, 0, 1) * (1 - immune)
    solid = inside * (1 - open_space)
    eosin = (eosin * (1 - fatty) + 0.55 * fat_walls * fatty) * solid
    return eosin, np.clip(haematoxylin * (1 - fatty), 0, None) * solid


def _place_nuclei(
    haematoxylin: np.ndarray, tissue: TissueMap, flow: Float[np.ndarray, "row column"], rng: np.random.Generator
) -> None:
    shares = tissue.shares()
    free = (tissue.outline > 0.15) & (tissue.lumen < -0.06)

    places = jittered_lattice(rng, tissue.shape_px, spacing_px=32, jitter=0.28)
    keep = (shares["stroma"] * free)[_cells(places)] * 0.62 > rng.random(len(places))
    places = places[keep]
    angles = flow[_cells(places)] + rng.normal(0, 0.2, len(places))
    stamp_all(haematoxylin, places, "fibroblast", rng, angles=angles)

    places = jittered_lattice(rng, tissue.shape_px, spacing_px=13.6, jitter=0.16)
    chance = 0.84 * shares["lymphoid"] + 0.035 * shares["stroma"] + 0.008 * shares["tumour"]
    stamp_all(haematoxylin, places[chance[_cells(places)] > rng.random(len(places))], "lymphocyte", rng)

    places = jittered_lattice(rng, tissue.shape_px, spacing_px=23.5, jitter=0.15)
    chance = shares["tumour"] * tissue.crowding * free
    places = places[chance[_cells(places)] > rng.random(len(places))]
    activated = tissue.activation[_cells(places)] > rng.random(len(places))
    dividing = activated & (rng.random(len(places)) < MITOSES)
    stamp_all(haematoxylin, places[~activated], "tumour", rng)
    stamp_all(haematoxylin, places[activated & ~dividing], "activated", rng)
    stamp_all(haematoxylin, places[dividing], "mitosis", rng)


def _warp(rng: np.random.Generator, shape_px: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Displacements in px that bend the fibres, so that they wave and no repeat is seen."""
    grid = (-(-shape_px[0] // CELL_PX), -(-shape_px[1] // CELL_PX))
    tilt = rng.uniform(-0.8, 0.8) * np.arange(grid[1], dtype=np.float32)[None] * CELL_PX
    fields = [
        rng.uniform(0, SIDE)
        + strength * smooth_noise(rng, grid, scale=scale / CELL_PX, octaves=2)
        + 0.045 * strength * smooth_noise(rng, grid, scale=0.2 * scale / CELL_PX)
        for strength, scale in ((60, 500), (150, 560))
    ]
    warp_x, warp_y = (_enlarge(field.astype(np.float32), shape_px) for field in (fields[0], fields[1] + tilt))
    return warp_x, warp_y


def _fibre_angles(warp_y: np.ndarray) -> Float[np.ndarray, "row column"]:
    """Direction of the fibres on the map's grid: along it the sampled row of the texture stays the same."""
    down, right = np.gradient(warp_y[::CELL_PX, ::CELL_PX], CELL_PX)
    return np.arctan2(-right, 1 + down)


def _sample(texture: np.ndarray, warp_x: np.ndarray, warp_y: np.ndarray) -> np.ndarray:
    height, width = warp_x.shape
    map_x = warp_x + np.arange(width, dtype=np.float32)[None]
    map_y = warp_y + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _tile(texture: np.ndarray, shape_px: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    rolled = np.roll(texture, tuple(rng.integers(0, SIDE, 2)), (0, 1))
    return np.tile(rolled, (-(-shape_px[0] // SIDE), -(-shape_px[1] // SIDE)))[: shape_px[0], : shape_px[1]]


def _enlarge(field: np.ndarray, shape_px: tuple[int, int]) -> np.ndarray:
    full = cv2.resize(field, (field.shape[1] * CELL_PX, field.shape[0] * CELL_PX), interpolation=cv2.INTER_CUBIC)
    return full[: shape_px[0], : shape_px[1]]


def _soft(field: np.ndarray, sharpness: float) -> np.ndarray:
    return np.clip(field * sharpness + 0.5, 0, 1)


def _cells(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = (places / CELL_PX).astype(int).T
    return rows, columns
