"""Features averaged over the eight flips and quarter turns of a patch: tissue has no up and no left."""

import numpy as np
from jaxtyping import Float32, UInt8

from hage_transfer.encoders.base import FrozenEncoder


class AveragedViews:
    """A frozen encoder whose features are the mean over a patch's eight symmetric views; eight times the work.

    Attributes are those of the encoder beneath; see ``FrozenEncoder``.
    """

    def __init__(self, encoder: FrozenEncoder) -> None:
        self.encoder = encoder
        self.name, self.width, self.input_px = encoder.name, encoder.width, encoder.input_px
        self.licence, self.sha256, self.precision = encoder.licence, encoder.sha256, encoder.precision

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        """Mean features of RGB images; the same (to rounding) for every view of an image."""
        total = np.zeros((len(images), self.width), dtype=np.float64)
        for turns in range(4):
            turned = np.rot90(images, turns, axes=(1, 2))
            for view in (turned, turned[:, :, ::-1]):
                total += self.encoder(np.ascontiguousarray(view))
        return (total / 8).astype(np.float32)
