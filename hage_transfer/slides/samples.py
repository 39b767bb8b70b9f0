"""What the samples of a pixel mean, and the one way from them to 8-bit RGB."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from hage_transfer.slides.sources import over_white

Colour = Literal["grey", "rgb", "palette", "cmyk", "ycbcr"]
SAMPLES: dict[Colour, int] = {"grey": 1, "rgb": 3, "palette": 1, "cmyk": 4, "ycbcr": 3}
_CAMERA_BITS = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class SampleKind:
    """How the samples of a pixel are read.

    Attributes:
        colour: what the first samples are.
        bits: of a colour sample that hold data: 8 to 16 in a 16-bit sample, 1 to 8 in others.
        alpha: whether one more sample is alpha, and whether the colours are multiplied by it already.
        alpha_bits: of the alpha sample that hold data.
        white_is_zero: grey that counts from white to black.
        palette: RGB of each index.
    """

    colour: Colour
    bits: int = 8
    alpha: Literal["", "straight", "premultiplied"] = ""
    alpha_bits: int = 8
    white_is_zero: bool = False
    palette: UInt8[np.ndarray, "colour 3"] | None = None


def to_rgb(samples: Shaped[np.ndarray, "h w sample"], kind: SampleKind) -> UInt8[np.ndarray, "h w 3"]:
    """Samples as RGB, alpha laid over white.

    Raises:
        ValueError: a sample larger than ``kind`` allows.
    """
    rgb = _colours(samples[..., : SAMPLES[kind.colour]], kind)
    if not kind.alpha:
        return rgb
    alpha = _eight_bits(samples[..., SAMPLES[kind.colour]], kind.alpha_bits)[..., None]
    if kind.alpha == "straight":
        return over_white(np.concatenate([rgb, alpha], axis=2))
    return np.minimum(rgb.astype(np.uint16) + (255 - alpha), 255).astype(np.uint8)


def bits_of_range(largest: int) -> int:
    """The depth of a camera, 8 to 16 bits, that a largest sample of a picture tells: glass is near the top of it."""
    return next((bits for bits in _CAMERA_BITS if largest < 2**bits), 16)


def _colours(colours: np.ndarray, kind: SampleKind) -> UInt8[np.ndarray, "h w 3"]:
    if kind.palette is not None:
        index = colours[..., 0].astype(np.intp)
        if index.max(initial=0) >= len(kind.palette):
            raise ValueError(f"colour {index.max()} of a palette of {len(kind.palette)}")
        return kind.palette[index]
    eight = _eight_bits(colours, kind.bits)
    if kind.white_is_zero:
        eight = 255 - eight
    if kind.colour == "grey":
        return np.repeat(eight, 3, axis=2)
    if kind.colour in ("cmyk", "ycbcr"):
        mode = {"cmyk": "CMYK", "ycbcr": "YCbCr"}[kind.colour]
        height, width = eight.shape[:2]
        return np.asarray(Image.frombytes(mode, (width, height), np.ascontiguousarray(eight).tobytes()).convert("RGB"))
    return eight


def _eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    if bits == 8 and values.dtype == np.uint8:
        return values
    values = values.astype(np.uint16, copy=False)
    if values.max(initial=0) >= 2**bits:
        raise ValueError(f"a sample of {values.max()}, where {bits} bits hold the others; save it as 8-bit RGB")
    if bits >= 8:
        return (values >> (bits - 8)).astype(np.uint8)
    full = 2**bits - 1
    return ((values * 255 + full // 2) // full).astype(np.uint8)
