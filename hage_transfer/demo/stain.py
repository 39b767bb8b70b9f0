"""Haematoxylin and eosin in optical density, and how they vary from one staining to the next."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Ruifrok & Johnston 2001, red green blue; eosin turned towards red, as in most sections seen on a scanner.
HAEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.120, 0.940, 0.320)


@dataclass(frozen=True)
class Stain:
    """One staining.

    Attributes:
        haematoxylin: optical density of a unit of haematoxylin (red, green, blue).
        eosin: optical density of a unit of eosin.
        glass: colour of the empty slide, 0 to 1.
        blur_px: sigma of the optics, in px.
    """

    haematoxylin: Float[np.ndarray, " 3"]
    eosin: Float[np.ndarray, " 3"]
    glass: Float[np.ndarray, " 3"]
    blur_px: float = 0.7


def draw_stain(rng: np.random.Generator, *, spread: float = 1.0) -> Stain:
    """A staining at random: strength of either dye, its hue, the glass and the focus; ``spread`` 0: none of it."""
    hue = spread * rng.normal(0, 0.035, (2, 3))
    strength = np.exp(spread * rng.normal(0, [0.20, 0.22]))
    glass = np.array([0.955, 0.945, 0.955]) + spread * rng.normal(0, [0.01, 0.012, 0.01])
    return Stain(
        haematoxylin=_unit(np.array(HAEMATOXYLIN) + hue[0]) * strength[0],
        eosin=_unit(np.array(EOSIN) + hue[1]) * strength[1],
        glass=np.clip(glass, 0.88, 0.985),
        blur_px=float(np.clip(0.75 + spread * rng.normal(0, 0.15), 0.45, 1.2)),
    )


def to_rgb(
    haematoxylin: Float[np.ndarray, "height width"],
    eosin: Float[np.ndarray, "height width"],
    stain: Stain,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "height width 3"]:
    """The image that amounts of dye make: Beer and Lambert's law, the optics' blur, the sensor's noise."""
    image = np.empty((*haematoxylin.shape, 3), np.uint8)
    noise = (1.0 * rng.standard_normal((256, 256))).astype(np.float32)
    repeats = (-(-haematoxylin.shape[0] // 256), -(-haematoxylin.shape[1] // 256))
    tiled = np.tile(noise, repeats)[: haematoxylin.shape[0], : haematoxylin.shape[1]]
    for channel in range(3):
        density = cv2.addWeighted(
            haematoxylin, -float(stain.haematoxylin[channel]), eosin, -float(stain.eosin[channel]), 0.0
        )
        light = cv2.exp(density)
        light = 255 * float(stain.glass[channel]) * cv2.GaussianBlur(light, (0, 0), stain.blur_px)
        image[..., channel] = cv2.convertScaleAbs(np.maximum(light + tiled, 0))
    return image


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = np.clip(vector, 0.01, None)
    return vector / np.linalg.norm(vector)
