"""Training on the pretended device: Lightning's placement, Adam's fused step, and how often a step waits."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from pretend_device import DEVICE, PretendDevice
from torch.optim.optimizer import register_optimizer_step_post_hook

from hage_transfer.pretrain import fit


class _Pretended(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        assert device.type == DEVICE


def accept_the_device(monkeypatch: Any) -> None:
    """Adam asks a list of devices whether its fused step is there; Lightning wants an accelerator of its own."""
    asked = importlib.import_module("torch.optim.optimizer")
    known = asked._get_fused_kernels_supported_devices
    monkeypatch.setattr(asked, known.__name__, lambda: [*known(), DEVICE])
    placement = fit._placement

    def placed(device: str) -> dict[str, Any]:
        if device != DEVICE:
            return placement(device)
        return {
            "accelerator": "auto",
            "strategy": SingleDeviceStrategy(torch.device(DEVICE), accelerator=_Pretended()),
            "devices": 1,
        }

    monkeypatch.setattr(fit, "_placement", placed)


@contextmanager
def waits_of_steps(device: PretendDevice) -> Iterator[list[list[str]]]:
    """A list that each optimiser step adds the operators to that made the host wait since the step before."""
    steps: list[list[str]] = []
    seen = len(device.waits)

    def count(*_: Any) -> None:
        nonlocal seen
        steps.append(device.waits[seen:])
        seen = len(device.waits)

    handle = register_optimizer_step_post_hook(count)
    try:
        yield steps
    finally:
        handle.remove()
