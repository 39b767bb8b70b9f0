"""Threads of a piece of work, so that its numbers do not depend on how many jobs share the machine."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Torch has ``n`` CPU threads inside, and what it had before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
