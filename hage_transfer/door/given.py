"""What the door's functions are given: paths, configs in any form, tables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.config import Changes, Settings

PathLike = str | os.PathLike[str]
"""A path, or an object of this library that has a folder or a file: its own path is meant."""
ConfigLike = PathLike | Mapping[str, Any] | Settings
"""A recipe's name, a path, a mapping of a config's keys, or the typed config."""
Table = PathLike | pd.DataFrame
"""A csv, or its rows."""


def path_of(path: PathLike | None) -> Path | None:
    """A path that may be left out."""
    return None if path is None else Path(path)


def path_or_bool(value: bool | PathLike | None) -> bool | Path | None:
    """A path, or yes or no."""
    return value if value is None or isinstance(value, bool) else Path(value)


def merged(changes: Changes | None, given: Mapping[str, Any]) -> list[Changes]:
    """Changes of a config in their order: a caller's ``changes``, then the arguments that were given.

    Args:
        changes: of the caller.
        given: dotted keys to what was given for them; None where nothing was.
    """
    return [changes or {}, {key: value for key, value in given.items() if value is not None}]
