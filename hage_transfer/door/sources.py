"""Feature sources of a comparison as a caller gives them."""

import os
from collections.abc import Mapping
from typing import Any

from hage_transfer.config import Changes


def sources_of(sources: Mapping[str, Any] | None) -> list[Changes]:
    """The changes of a config that sources mean: they replace the config's own.

    Args:
        sources: name to keys of a source, or to features (a path, or an object that has one); None: the config's own.
    """
    if sources is None:
        return []
    found = {name: {"features": one} if isinstance(one, str | os.PathLike) else one for name, one in sources.items()}
    return [{"sources": None}, {"sources": found}]
