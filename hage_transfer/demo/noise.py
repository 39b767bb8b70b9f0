"""Smooth random fields and repeating textures, from which tissue is made. All of zero mean and unit variance."""

import cv2
import numpy as np
from jaxtyping import Float


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], *, scale: float, octaves: int = 1
) -> Float[np.ndarray, "height width"]:
    """A smooth field.

    Args:
        rng: where the randomness comes from.
        shape: (height, width) of the field.
        scale: distance, in cells of the field, over which it changes; each further octave halves it, and its weight.
        octaves: how many scales are added.
    """
    height, width = shape
    field = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = max(scale / 2**octave, 1.0)
        grid = rng.standard_normal((round(height / step) + 4, round(width / step) + 4)).astype(np.float32)
        large = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        top, left = int(step), int(step)
        field += large[top : top + height, left : left + width] / 2**octave
    return standardise(field)


def standardise(field: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Zero mean, unit variance."""
    return ((field - field.mean()) / (field.std() + 1e-6)).astype(np.float32)


def grain(rng: np.random.Generator, side: int, *, sigma: float) -> Float[np.ndarray, "side side"]:
    """White noise blurred by ``sigma`` px; repeats without a seam."""
    return _blur_wrapped(rng.standard_normal((side, side)).astype(np.float32), sigma, sigma)


def fibres(rng: np.random.Generator, side: int, *, length: float, width: float) -> Float[np.ndarray, "side side"]:
    """Streaks along x, ``length`` px long and ``width`` px wide; repeats without a seam."""
    coarse = _blur_wrapped(rng.standard_normal((side, side)).astype(np.float32), length, width)
    fine = _blur_wrapped(rng.standard_normal((side, side)).astype(np.float32), length / 2, width / 2.5)
    return standardise(coarse + 0.6 * fine)


def cell_walls(rng: np.random.Generator, side: int, *, spacing: float) -> Float[np.ndarray, "side side"]:
    """Distance, in px, from the nearest wall between cells about ``spacing`` px apart; repeats without a seam."""
    from scipy.spatial import cKDTree

    steps = round(side / spacing)
    places = np.stack(np.meshgrid(np.arange(steps), np.arange(steps)), -1).reshape(-1, 2) * (side / steps)
    places = (places + rng.uniform(0, 0.75 * spacing, places.shape)) % side
    pixels = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    distances, _ = cKDTree(places, boxsize=side).query(pixels, k=2)
    return ((distances[:, 1] - distances[:, 0]) / 2).reshape(side, side).astype(np.float32)


def _blur_wrapped(field: np.ndarray, sigma_x: float, sigma_y: float) -> np.ndarray:
    pad = int(3 * max(sigma_x, sigma_y)) + 1
    padded = np.pad(field, pad, mode="wrap")
    blurred = cv2.GaussianBlur(padded, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    return standardise(blurred[pad:-pad, pad:-pad])
