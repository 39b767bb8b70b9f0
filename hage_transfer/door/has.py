"""Which optional extras are installed."""

import importlib.metadata
import re

from hage_transfer.door.missing import EXTRAS
from hage_transfer.errors import ConfigError


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
    needed = {re.split(r"[\[<>=~!]", requirement)[0] for requirement in EXTRAS[extra][1]}
    return all(any(importlib.metadata.distributions(name=name)) for name in needed)
