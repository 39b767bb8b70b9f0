"""Batches in random order, read ahead of their use: one order for every fold, every source and both kinds of memory.

A set of at most ``WINDOW_ROWS`` rows is shuffled as a whole. A larger one is shuffled in two steps, so that it can be
streamed: its blocks of neighbouring rows are put in random order, and the rows of each window of blocks are shuffled.
The order depends on the number of rows, the batch size and the seed alone, so that a set that is streamed and the
same set in memory give the same numbers, and so do sources of different width.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.probes.rows import LabelledFeatures, as_float32

WINDOW_ROWS = 16_384
BLOCK_ROWS = 128
AHEAD = 2

Batch = tuple[Int[np.ndarray, " batch"], Float[Tensor, "batch feature"]]


def epoch_windows(n_rows: int, *, batch_size: int, generator: torch.Generator) -> Iterator[Int[np.ndarray, " window"]]:
    """The rows of one epoch in random order, a window at a time; every row comes once.

    Args:
        n_rows: of the set.
        batch_size: a window holds at least one batch.
        generator: advanced by this epoch's draws.
    """
    if n_rows <= max(WINDOW_ROWS, batch_size):
        yield torch.randperm(n_rows, generator=generator).numpy()
        return
    blocks = torch.randperm(-(-n_rows // BLOCK_ROWS), generator=generator).numpy()
    per_window = max(WINDOW_ROWS, batch_size) // BLOCK_ROWS
    for first in range(0, len(blocks), per_window):
        rows = (blocks[first : first + per_window, None] * BLOCK_ROWS + np.arange(BLOCK_ROWS)).ravel()
        rows = rows[rows < n_rows]
        yield rows[torch.randperm(len(rows), generator=generator).numpy()]


def shuffled_batches(
    features: LabelledFeatures,
    *,
    shift: Float[Tensor, " feature"],
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
) -> Iterator[Batch]:
    """Rows and their features less ``shift``, for every step of every epoch, read by a thread ahead of their use.

    The last batch of a window is smaller where the batch size does not divide it.
    """
    with ThreadPoolExecutor(1, initializer=partial(torch.set_num_threads, 1)) as reader:
        waiting: deque[Future[Batch]] = deque()
        for _ in range(epochs):
            for window in epoch_windows(features.n_rows, batch_size=batch_size, generator=generator):
                loaded = _Window(features, window, shift)
                for start in range(0, len(window), batch_size):
                    waiting.append(reader.submit(loaded.batch, start, min(start + batch_size, len(window))))
                    if len(waiting) > AHEAD:
                        yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Window:
    """A window's rows as stored, read in the file's order by the first batch that needs them, dropped by the last."""

    def __init__(
        self, features: LabelledFeatures, rows: Int[np.ndarray, " window"], shift: Float[Tensor, " feature"]
    ) -> None:
        self._features, self._rows, self._shift = features, rows, shift
        self._ascending = np.sort(rows)
        self._stored: list[np.ndarray] | None = None

    def batch(self, start: int, end: int) -> Batch:
        rows = self._rows[start:end]
        if all(isinstance(part.values, np.ndarray) for part in self._features.columns):
            return rows, self._features.take(rows) - self._shift
        if self._stored is None:
            self._stored = self._features.stored(self._ascending)
        places = np.searchsorted(self._ascending, rows)
        features = as_float32([part.take(places, axis=0) for part in self._stored])
        if end == len(self._rows):
            self._stored = None
        return rows, features - self._shift
