"""A class of the user's own as jobs name it, without torch: its name, the hash of its code, whether it is there."""

import functools
import hashlib
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from hage_transfer.errors import ConfigError
from hage_transfer.mil.kinds import OWN_PREFIX

MakeClassifier = Callable[..., Any]
"""A class of ``nn.Module``, or a function that makes one, of (width of a tile's features, number of classes)."""
_PLACES = ("__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__")


def own_kind(make: object) -> str:
    """What `model.kind` says of a class."""
    return f"{OWN_PREFIX}{title_of(make)}"


def check_own(kind: str, own: MakeClassifier | None) -> None:
    """Refuses a kind that only Python can give, where Python did not.

    Raises:
        ConfigError: the class is missing, or is another.
    """
    if kind.startswith(OWN_PREFIX) and (own is None or own_kind(own) != kind):
        met = "it was not given" if own is None else f"{own_kind(own)} was given"
        raise ConfigError(
            f"model.kind = {kind}: a class of the user's own, and {met}; give it in Python (model=...), or install it "
            "under the entry points hage_transfer.bag_classifiers"
        )


def title_of(make: object) -> str:
    """A class's name, that of the function that makes it, or that of what a ``functools.partial`` calls."""
    while isinstance(make, functools.partial):
        make = make.func
    return str(getattr(make, "__qualname__", type(make).__name__)).rpartition(".")[2]


def code_sha256(make: object) -> str:
    """Hash of a class's own code, its constants and its bases' but for torch's: results of other code are others."""
    digest = hashlib.sha256()
    for part in _code(make):
        digest.update(part)
    return digest.hexdigest()


def _code(made: object) -> Iterator[bytes]:
    if isinstance(made, functools.partial):
        yield repr((made.args, sorted(made.keywords.items()))).encode()
        yield from _code(made.func)
    elif isinstance(made, type):
        for one in made.__mro__:
            if one.__module__.partition(".")[0] not in ("torch", "builtins", "abc", "typing"):
                for name, value in sorted(vars(one).items()):
                    if name not in _PLACES:
                        yield name.encode()
                        yield from _code(value)
    elif isinstance(made, staticmethod | classmethod | property):
        yield from _code(made.fget if isinstance(made, property) else made.__func__)
    elif isinstance(made, CodeType):
        yield made.co_code + repr(made.co_names).encode()
        for constant in made.co_consts:
            yield from _code(constant)
    elif hasattr(made, "__code__"):
        yield repr((made.__defaults__, made.__kwdefaults__)).encode()  # type: ignore[attr-defined]
        yield from _code(made.__code__)
    elif made is None or isinstance(made, int | float | str | bytes | tuple | frozenset):
        yield repr(made).encode()
