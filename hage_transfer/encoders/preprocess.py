"""Batches of uint8 patches to the input of a network: resize, centre crop, normalise."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hage_transfer.encoders.base import Preprocessing


def preprocess(
    images: UInt8[Tensor, "batch height width 3"], how: Preprocessing
) -> Float[Tensor, "batch 3 input_px input_px"]:
    """Resizes (as Pillow does: antialiased, rounded to uint8), crops and normalises.

    A patch whose shorter side is ``resize_px`` already is not resampled.
    """
    pixels = _square(images.permute(0, 3, 1, 2), how)
    mean = torch.tensor(how.mean, device=pixels.device).view(3, 1, 1) * 255
    std = torch.tensor(how.std, device=pixels.device).view(3, 1, 1) * 255
    return pixels.float().sub_(mean).div_(std)


def resized(images: UInt8[Tensor, "batch height width 3"], side_px: int) -> UInt8[Tensor, "batch side_px side_px 3"]:
    """The shorter side resized (bicubic) to ``side_px``, the centre square kept; still uint8."""
    how = Preprocessing(input_px=side_px, resize_px=side_px)
    return _square(images.permute(0, 3, 1, 2), how).permute(0, 2, 3, 1).contiguous()


def _square(pixels: UInt8[Tensor, "batch 3 height width"], how: Preprocessing) -> UInt8[Tensor, "batch 3 _ _"]:
    from torchvision.transforms.v2 import InterpolationMode  # seconds, for features that are there already
    from torchvision.transforms.v2 import functional as transform

    if min(pixels.shape[-2:]) != how.resize_px:
        mode = InterpolationMode(how.interpolation)
        pixels = transform.resize(pixels, [how.resize_px], interpolation=mode, antialias=True)
    if tuple(pixels.shape[-2:]) != (how.input_px, how.input_px):
        pixels = transform.center_crop(pixels, [how.input_px, how.input_px])
    return pixels
