"""Features averaged over the eight flips and quarter turns of a patch: tissue has no up and no left."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, UInt8

from hage_transfer.encoders.around import EncoderAround
from hage_transfer.encoders.base import FrozenEncoder, Pending


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


def _views(images: UInt8[np.ndarray, "batch height width 3"]) -> Iterator[UInt8[np.ndarray, "batch side side 3"]]:
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(1, 2))
        for view in (turned, turned[:, :, ::-1]):
            yield np.ascontiguousarray(view)


def _mean(rows: list[Float32[np.ndarray, "batch feature"]]) -> Float32[np.ndarray, "batch feature"]:
    mean: np.ndarray = np.stack(rows).mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)
