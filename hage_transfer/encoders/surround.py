"""Features of a patch's centre and of the whole patch side by side: the same tissue at two fields of view."""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from hage_transfer.encoders.around import EncoderAround
from hage_transfer.encoders.base import FrozenEncoder, Pending
from hage_transfer.errors import ConfigError


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
