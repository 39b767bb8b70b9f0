"""What encoders that stand around another share: its name, its weights and how it is best called."""

from concurrent.futures import Executor
from contextlib import AbstractContextManager

from hage_transfer.encoders.base import FrozenEncoder


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
