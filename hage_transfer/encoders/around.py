"""Encoders around another: features over the eight views of a patch, and of its centre beside its surround."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from hage_transfer.encoders.base import FrozenEncoder, Pending
from hage_transfer.errors import ConfigError


class EncoderAround:
    """Base of encoders that show another one several pictures of a patch; see ``FrozenEncoder`` for what it has.

    Args:
        encoder: the one beneath.
        width: numbers per image.
    """

    def __init__(self, encoder: FrozenEncoder, *, width: int) -> None:
        self.encoder, self.width = encoder, width
        self.name, self.input_px = encoder.name, encoder.input_px
        self.licence, self.sha256, self.precision = encoder.licence, encoder.sha256, encoder.precision

    @property
    def images_per_call(self) -> int | None:
        """See ``FrozenEncoder``."""
        return self.encoder.images_per_call

    def lanes(self) -> AbstractContextManager[Executor]:
        """See ``FrozenEncoder``."""
        return self.encoder.lanes()


class AveragedViews(EncoderAround):
    """A frozen encoder whose features are the mean over a patch's eight symmetric views; eight times the work.

    Attributes are those of the encoder beneath; see ``FrozenEncoder``.
    """

    def __init__(self, encoder: FrozenEncoder) -> None:
        super().__init__(encoder, width=encoder.width)

    def begin(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Pending:
        """See ``FrozenEncoder``."""
        started = [self.encoder.begin(view) for view in _views(images)]
        return lambda: _mean([rows() for rows in started])

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        """Mean features of RGB images; the same (to rounding) for every view of an image."""
        return _mean([self.encoder(view) for view in _views(images)])


class CentreAndSurround(EncoderAround):
    """A frozen encoder that sees the middle half of each patch, then the whole of it shrunk to the same size.

    Give it patches twice as wide as the encoder's own: the first half of the features is then what the encoder alone
    would say, the second tells what lies around. Attributes are those of the encoder beneath, ``width`` doubled.
    """

    def __init__(self, encoder: FrozenEncoder) -> None:
        super().__init__(encoder, width=2 * encoder.width)

    def begin(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Pending:
        """See ``FrozenEncoder``; errors as a call's."""
        centre, whole = self.encoder.begin(_centre(images)), self.encoder.begin(_halved(images))
        return lambda: np.concatenate([centre(), whole()], axis=1)

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        """Features of RGB images: of the centre, then of the whole.

        Raises:
            ConfigError: patches whose sides are no multiple of 4 px, so that no half lies in the middle.
        """
        return np.concatenate([self.encoder(_centre(images)), self.encoder(_halved(images))], axis=1)


def _views(images: UInt8[np.ndarray, "batch height width 3"]) -> Iterator[UInt8[np.ndarray, "batch side side 3"]]:
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(1, 2))
        for view in (turned, turned[:, :, ::-1]):
            yield np.ascontiguousarray(view)


def _mean(rows: list[Float32[np.ndarray, "batch feature"]]) -> Float32[np.ndarray, "batch feature"]:
    mean: np.ndarray = np.stack(rows).mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def _centre(images: UInt8[np.ndarray, "batch height width 3"]) -> UInt8[np.ndarray, "batch half half 3"]:
    height, width = images.shape[1:3]
    if height % 4 or width % 4:
        raise ConfigError(
            f"encoder.surround needs patches with sides that are multiples of 4 px, these are {height} x {width}; "
            "set the patch or tile size, for example 448"
        )
    top, left = height // 4, width // 4
    return np.ascontiguousarray(images[:, top : height - top, left : width - left])


def _halved(images: UInt8[np.ndarray, "batch height width 3"]) -> UInt8[np.ndarray, "batch half half 3"]:
    size = (images.shape[2] // 2, images.shape[1] // 2)
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) for one in images])
