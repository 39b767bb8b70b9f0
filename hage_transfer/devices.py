"""The one place where a device's name is resolved."""

from hage_transfer.errors import ConfigError


def resolve_device(name: str) -> str:
    """``auto`` becomes cuda, mps or cpu, the first that is there; any other name is checked.

    Raises:
        ConfigError: unknown name, or a device that this machine lacks.
    """
    import torch

    kind, _, number = name.partition(":")
    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ConfigError(f"--device {name}: wanted cpu, cuda, cuda:<number>, mps or auto")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--device {name}: no CUDA device here; use --device cpu (or auto)")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise ConfigError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices, numbered from 0")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"--device {name}: no MPS device here; use --device cpu (or auto)")
    return name
