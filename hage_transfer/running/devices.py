"""The one place where a device's name is resolved."""

from hage_transfer.errors import ConfigError


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
