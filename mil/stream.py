"""Bags in a set order, read by a thread ahead of their use."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mil.bags import BagSet

AHEAD = 2


def stream(bags: BagSet, order: Sequence[int], *, device: str) -> Iterator[tuple[int, Float[Tensor, "tile feature"]]]:
    """Bags and their features in float32; at most ``AHEAD`` beyond the one in use are in memory, or kept there.

    Raises:
        DataError: a bag that cannot be read, or that holds NaN.
    """
    with ThreadPoolExecutor(1, initializer=partial(torch.set_num_threads, 1)) as reader:
        left = iter(order)
        waiting: deque[tuple[int, Future[Tensor]]] = deque()

        def read_on() -> None:
            bag = next(left, None)
            if bag is not None:
                waiting.append((bag, reader.submit(_read, bags, bag)))

        for _ in range(AHEAD):
            read_on()
        while waiting:
            bag, rows = waiting.popleft()
            read_on()
            yield bag, rows.result().to(device)


def _read(bags: BagSet, bag: int) -> Tensor:
    return torch.from_numpy(bags.load(bag))
