"""The one place where a precision is resolved: which products are rounded, and the scale that float16 needs."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from hage_transfer.errors import ConfigError

if TYPE_CHECKING:
    import torch


def check_precision(precision: str, device: str, *, key: str) -> None:
    """Refuses what a device does not do well.

    Args:
        precision: ``float32``, ``bfloat16``, ``float16``.
        device: a torch device.
        key: of the config, for the message.

    Raises:
        ConfigError: float16 on the CPU, which has no fast products of it.
    """
    if precision == "float16" and device == "cpu":
        raise ConfigError(f"{key} = float16: for accelerators, and the device is cpu; set bfloat16 or float32")


def rounded(device: "str | torch.device", precision: str) -> AbstractContextManager[object]:
    """Inside, products are taken of operands rounded to ``precision``; weights, sums and losses stay float32."""
    import torch

    if precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=getattr(torch, precision))


def exact(device: "str | torch.device") -> AbstractContextManager[object]:
    """Inside, nothing is rounded."""
    import torch

    kind = torch.device(device).type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def loss_scaler(device: "str | torch.device", precision: str) -> "torch.amp.GradScaler":
    """Scales losses so that gradients of float16 do not vanish, and leaves a step out where one overflowed."""
    import torch

    return torch.amp.GradScaler(torch.device(device).type, enabled=precision == "float16")
