"""Which optional extras are installed."""

import importlib.util

from hage_transfer.errors import ConfigError

EXTRAS = {
    "onnx": ("onnx", "onnxruntime"),
    "ray": ("ray",),
    "torchmil": ("torchmil",),
    "transformers": ("transformers",),
}
"""Extras that a user may add, and the packages that each brings."""


def has(extra: str) -> bool:
    """Whether an optional extra is installed.

    Args:
        extra: its name in ``pip install 'hage-transfer[...]'``.

    Raises:
        ConfigError: no such extra.

    >>> has("torchmil") in (True, False)
    True
    """
    if extra not in EXTRAS:
        raise ConfigError(f"no extra {extra}; there are {', '.join(EXTRAS)}")
    return all(importlib.util.find_spec(package) is not None for package in EXTRAS[extra])
