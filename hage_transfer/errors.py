"""Every error that this project raises on purpose.

::

    HageError
    ├── InputError            what the user gave is wrong: one clear message, exit code 2
    │   ├── ConfigError       a config file, a key in it, or a change of one
    │   ├── DataError         a data file: missing, unreadable, or not in the form it claims
    │   ├── SplitError        folds that would leak, or that the data cannot fill
    │   ├── WeightsError      a frozen encoder or its weights cannot be had
    │   └── SharingError      an encoder directory may not or cannot be uploaded
    └── ItemsFailedError      some items of a long list failed, the rest are done: exit code 1

A message says what failed, the value met, the value wanted, and the remedy. A caller that knows more (a path, a
slide's name) adds it with ``add_note``; the command line prints message and notes.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


class HageError(Exception):
    """Base of every error of this project."""


class InputError(HageError):
    """What the user gave is wrong; nothing was written. Exit code 2."""


class ConfigError(InputError):
    """A config file, one of its keys, or a change of one is wrong."""


class DataError(InputError):
    """A data file is missing, unreadable, or not in the form it claims."""


class SplitError(InputError):
    """A split would leak between its sides, or the data cannot fill it."""


class WeightsError(InputError):
    """A frozen encoder is unknown, or its weights cannot be had."""


class SharingError(InputError):
    """An encoder directory may not be uploaded, or the hub does not take it."""


class ItemsFailedError(HageError):
    """Some items of a long list failed and are listed in ``failures.csv``; the rest are done. Exit code 1.

    Attributes:
        done: what the call would have returned, of the items that are done; None where it returns nothing.
    """

    def __init__(self, message: str, *, done: Any = None) -> None:
        super().__init__(message)
        self.done = done


def reason(error: BaseException) -> str:
    """An error's message and notes in one line."""
    return "; ".join([str(error), *getattr(error, "__notes__", [])])


def some(names: Sequence[object], n: int = 5, *, joined: str = ", ") -> str:
    """The first names of a list for a message, and how many more there are."""
    shown = joined.join(str(name) for name in names[:n])
    return shown if len(names) <= n else f"{shown} and {len(names) - n} more"


def install_extra(name: str) -> str:
    """The command that installs an optional extra, for a message."""
    return f"`pip install 'hage-transfer[{name}]'`"


def nearest(name: str, there: Iterable[str], n: int = 1) -> list[str]:
    """The ``n`` names that look most like one, in capitals or not, the likest first; empty where there is none at all.

    >>> nearest("erbb2", ["EGFR", "ERBB3", "ERBB2"], n=2)
    ['ERBB2', 'ERBB3']
    """
    names = {other.casefold(): other for other in there}
    return [names[other] for other in get_close_matches(name.casefold(), names, n=n, cutoff=0.0)]
