"""Rows of all devices that train together, joined on each of them as if one device held the whole batch."""

from collections.abc import Iterator

import torch
from torch import Tensor, distributed
from torch.utils.data import Sampler


def n_devices() -> int:
    """How many train together; 1 where none other does."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def joined_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor's rows of all devices, in the devices' order.

    A device's own rows keep their gradient, those of the others come without: every device then computes the same
    loss over the joined batch, and its gradient by its own rows. The sum over the devices is the gradient of the
    joined batch; since data-parallel training takes their mean, the loss is to be multiplied by ``n_devices``.

    Args:
        tensors: (row, ...) of one number of rows on this device, which may differ from that of the others, or be 0.
    """
    if n_devices() == 1:
        return tensors
    sizes = _sizes(len(tensors[0]), tensors[0].device)
    return tuple(_joined(tensor, sizes) for tensor in tensors)


class ShareOfBatches(Sampler[list[int]]):
    """This device's rows of each batch: neighbouring ones, as many as the other devices' up to one.

    Args:
        batches: the batches of the whole, in the same order on every device.
        rank: number of this device.
        n_devices: that share each batch.
    """

    def __init__(self, batches: Sampler[list[int]], *, rank: int, n_devices: int) -> None:
        self.batches, self.rank, self.n_devices = batches, rank, n_devices

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            start, stop = (len(batch) * number // self.n_devices for number in (self.rank, self.rank + 1))
            yield batch[start:stop]

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]


def _sizes(own: int, device: torch.device) -> list[int]:
    gathered = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(n_devices())]
    distributed.all_gather(gathered, torch.tensor([own], device=device))
    return [int(size) for size in gathered]


def _joined(own: Tensor, sizes: list[int]) -> Tensor:
    padded = own.new_zeros(max(sizes), *own.shape[1:])
    padded[: len(own)] = own.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(parts, padded)
    rows = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    rows[distributed.get_rank()] = own
    return torch.cat(rows)
