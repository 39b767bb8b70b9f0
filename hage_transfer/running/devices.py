"""The one place where a device's name is resolved, and where batches go to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hage_transfer.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_COPIES_ASIDE = frozenset({"cuda"})
_FIXED_CUBLAS = ":4096:8"


def resolve_device(device: str) -> str:
    """The torch device that ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` stands for on this machine.

    Raises:
        ConfigError: no such device here; the message lists those that are.
    """
    import torch

    here = available_devices()
    if device == "auto":
        return here[0]
    if device == "cuda" and torch.cuda.is_available():
        return "cuda:0"
    if device not in here:
        raise ConfigError(f"device={device}: not on this machine, which has {', '.join(here)} (or auto)")
    return device


def available_devices() -> list[str]:
    """Devices of this machine, the fastest kind first."""
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def copies_aside(device: "str | torch.device") -> bool:
    """Whether copies from pinned memory run beside the host's work and the device's."""
    import torch

    return torch.device(device).type in _COPIES_ASIDE


def to_device(batch: "Tensor", device: "str | torch.device") -> "Tensor":
    """A batch on the device; to cuda through pinned memory, so that the host goes on meanwhile."""
    if batch.device.type != "cpu" or not copies_aside(device):
        return batch.to(device)
    return batch.pin_memory().to(device, non_blocking=True)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, where it is wanted, the same input gives the same output on the same machine, to the bit.

    Raises:
        ConfigError: an operation has no such form on the device.
    """
    import torch

    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _FIXED_CUBLAS)  # read when the process first asks cuBLAS
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        name, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise ConfigError(
            f"train.deterministic = true: {name} has no such form on this device; leave it out, or train on the cpu"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
