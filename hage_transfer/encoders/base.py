"""What a frozen encoder is: images in, features out, with its name, weights' hash and licence."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float32, UInt8

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Pending = Callable[[], Float32[np.ndarray, "batch feature"]]
"""Waits for the features of images that an encoder has begun on."""

Interpolation = Literal["bilinear", "bicubic"]


class FrozenEncoder(Protocol):
    """A model that is never trained here.

    Attributes:
        name: its name in the registry.
        width: numbers per image.
        input_px: side of the square that the network sees; other sizes are resized to it.
        licence: of the weights; models trained on the features inherit its terms.
        sha256: hash of the weights' file.
        precision: arithmetic, ``float32``, ``float16`` or ``bfloat16``; the output is float32 in any case.
    """

    name: str
    width: int
    input_px: int
    licence: str
    sha256: str
    precision: str

    @property
    def images_per_call(self) -> int | None:
        """Most images for one call of ``begin``, where more would be slower; None: as many as memory has."""
        ...

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        """Features of RGB images."""
        ...

    def begin(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Pending:
        """Starts on at most ``images_per_call`` images, in a thread of ``lanes``; what it returns waits for the rows.

        On a CPU the work is done before it returns; on other devices it is queued, so that the next call's images are
        on their way while these are encoded.
        """
        ...

    def lanes(self) -> AbstractContextManager[Executor]:
        """The threads that ``begin`` is to be called in: as many as it is best called by at a time."""
        ...


@contextmanager
def one_lane() -> Iterator[Executor]:
    """A single thread for ``begin``: for a device that queues."""
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as pool:
        yield pool


@dataclass(frozen=True)
class Preprocessing:
    """From a uint8 patch to the network's input.

    Attributes:
        input_px: side of the square that the network sees.
        resize_px: the shorter side is resized to it, then the centre ``input_px`` square is kept.
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
        interpolation: of the resize, antialiased; a patch that has the size already is left as it is.
    """

    input_px: int = 224
    resize_px: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bicubic"
