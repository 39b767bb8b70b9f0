from collections.abc import Iterable
from typing import Any

import pytest


def sampled(kinds: Iterable[Any], *fast: Any) -> list[Any]:
    """Parameters of which only ``fast`` run outside CI: the law is the same for the rest, and its setting heavy."""
    return [
        kind if kind in fast else pytest.param(*(kind if isinstance(kind, tuple) else (kind,)), marks=pytest.mark.slow)
        for kind in kinds
    ]
