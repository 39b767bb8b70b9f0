"""A frozen encoder of the user's own: any object with a name, width, side, licence and hash that can be called."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
from jaxtyping import Float32, UInt8

from hage_transfer.encoders.base import FrozenEncoder, Pending, one_lane
from hage_transfer.errors import WeightsError

_WANTED = {"name": str, "width": int, "input_px": int, "licence": str, "sha256": str}


class OwnEncoder:
    """A user's object as a ``FrozenEncoder``; what it puts out is checked, since it becomes a file."""

    def __init__(self, encoder: object) -> None:
        """Takes the object.

        Raises:
            WeightsError: it lacks an attribute, has one of another type, or cannot be called.
        """
        for name, kind in _WANTED.items():
            value = getattr(encoder, name, None)
            if not isinstance(value, kind) or not value:
                raise WeightsError(
                    f"encoder {type(encoder).__name__}: {name} is {value!r}, wanted {kind.__name__}; an encoder has "
                    f"{', '.join(_WANTED)}, and a call: images (N, height, width, 3) to rows (N, width)"
                )
        if not callable(encoder):
            raise WeightsError(f"encoder {type(encoder).__name__}: cannot be called; wanted images in, rows out")
        self.name, self.width, self.input_px = (getattr(encoder, key) for key in ("name", "width", "input_px"))
        self.licence, self.sha256 = (getattr(encoder, key) for key in ("licence", "sha256"))
        self.precision = str(getattr(encoder, "precision", "float32"))
        self.images_per_call: int | None = getattr(encoder, "images_per_call", None)
        self._call: Callable[..., object] = encoder

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        """Features of RGB images.

        Raises:
            WeightsError: it put out rows of another number or width, or NaN.
        """
        rows = np.asarray(self._call(images), dtype=np.float32)
        if rows.shape != (len(images), self.width):
            raise WeightsError(
                f"encoder {self.name}: put out an array of shape {rows.shape} for {len(images)} images, wanted "
                f"{(len(images), self.width)}"
            )
        if not np.isfinite(rows).all():
            raise WeightsError(f"encoder {self.name}: put out NaN or infinity")
        return rows

    def begin(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Pending:
        """The work is done when the rows are asked for."""
        return partial(self, images)

    def lanes(self) -> AbstractContextManager[Executor]:
        """One: the object may not be safe to call from several threads."""
        return one_lane()


def as_frozen(encoder: object) -> FrozenEncoder:
    """A user's object as the encoder that work is given; errors as ``OwnEncoder``."""
    return OwnEncoder(encoder)
