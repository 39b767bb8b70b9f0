"""Bags in a set order, read by a thread ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.mil.bags import BagSet
from hage_transfer.running.devices import to_device

AHEAD = 2


Rows = Callable[[int], Int[np.ndarray, " kept"] | None]
"""Which of a bag's tiles are wanted, ascending; None: all."""


def stream(
    bags: BagSet, order: Sequence[int], *, device: str, rows: Rows | None = None, with_coords: bool = False
) -> Iterator[tuple[int, Float[Tensor, "tile feature"], Int[Tensor, "tile 2"] | None]]:
    """Bags, their features in float32, their tiles' places.

    At most ``AHEAD`` bags beyond the one in use are in memory, or kept there.

    Args:
        bags: to read from.
        order: of the bags.
        device: that the features are put on.
        rows: which tiles of each bag; asked in the reading thread.
        with_coords: whether the places are wanted (level-0 px); else they are None.

    Raises:
        DataError: a bag that cannot be read, or that holds NaN.
    """
    with ThreadPoolExecutor(1, initializer=partial(torch.set_num_threads, 1)) as reader:
        left = iter(order)
        waiting: deque[tuple[int, Future[tuple[Tensor, Tensor | None]]]] = deque()

        def read_on() -> None:
            bag = next(left, None)
            if bag is not None:
                waiting.append((bag, reader.submit(_read, bags, bag, rows, with_coords)))

        for _ in range(AHEAD):
            read_on()
        while waiting:
            bag, read = waiting.popleft()
            read_on()
            tiles, coords = read.result()
            yield bag, to_device(tiles, device), None if coords is None else to_device(coords, device)


def _read(bags: BagSet, bag: int, rows: Rows | None, with_coords: bool) -> tuple[Tensor, Tensor | None]:
    wanted = None if rows is None else rows(bag)
    tiles = torch.from_numpy(bags.load(bag, wanted))
    coords = bags.coords(bag) if with_coords else None
    if coords is None:
        return tiles, None
    return tiles, torch.from_numpy(coords if wanted is None else coords[wanted])
