"""Features of a stream of images: batches, device, reading ahead."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from jaxtyping import Float32, UInt8

from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.errors import DataError


def encode_images(
    encoder: FrozenEncoder,
    images: Iterable[UInt8[np.ndarray, "height width 3"]],
    *,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> Float32[np.ndarray, "batch feature"]:
    """Encodes ``images`` in order; the next batch is read in a thread of its own while one is encoded.

    Args:
        encoder: the frozen encoder.
        images: uint8 RGB images of any one size per batch; each batch is held in memory, the stream never is.
        batch_size: images per call of the encoder.
        advance: called with the number of images done since the last call (a progress bar).

    Returns:
        One row per image; shape (0, width) where there is none.

    Raises:
        DataError: an image that is not (height, width, 3) uint8.
    """
    blocks = []
    for batch in _read_ahead(_batches(images, batch_size)):
        blocks.append(encoder(batch))
        if advance is not None:
            advance(len(batch))
    return np.concatenate(blocks) if blocks else np.empty((0, encoder.width), np.float32)


def _batches(images: Iterable[np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
    """Stacks images; one of another size than its neighbours begins a batch of its own."""
    pending: list[np.ndarray] = []
    for image in images:
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise DataError(f"an image to encode is {image.shape} {image.dtype}, wanted (height, width, 3) uint8")
        if pending and (len(pending) == batch_size or image.shape != pending[0].shape):
            yield np.stack(pending)
            pending = []
        pending.append(image)
    if pending:
        yield np.stack(pending)


def _read_ahead(batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        upcoming = pool.submit(lambda: list(islice(batches, 1)))
        while found := upcoming.result():
            upcoming = pool.submit(lambda: list(islice(batches, 1)))
            yield found[0]
