"""Hashes of a user's own classes, functions and objects: results of other code, or of other numbers, are others."""

import functools
import hashlib
from collections.abc import Iterator
from types import CodeType
from typing import Any

_PLACES = ("__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__")


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


def _code(made: Any) -> Iterator[bytes]:
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
        yield repr((made.__defaults__, made.__kwdefaults__)).encode()
        yield from _code(made.__code__)
    elif made is None or isinstance(made, int | float | str | bytes | tuple | frozenset):
        yield repr(made).encode()


def object_sha256(one: Any) -> str:
    """Hash of an object: of its class's code, and of what it holds (numbers, texts, arrays, functions, tensors)."""
    digest = hashlib.sha256()
    for part in _held(one, []):
        digest.update(part)
    return digest.hexdigest()


def _held(one: Any, above: list[Any]) -> Iterator[bytes]:
    if any(one is other for other in above):
        return
    if hasattr(one, "detach"):  # a tensor
        one = one.detach().cpu().numpy()
    if hasattr(one, "tobytes"):  # an array, or a number of NumPy's
        yield f"{one.dtype} {one.shape}".encode() + one.tobytes()
    elif isinstance(one, dict | list | tuple | set | frozenset):
        parts = sorted(map(repr, one)) if isinstance(one, set | frozenset) else one
        for part in parts.items() if isinstance(parts, dict) else parts:
            yield from _held(part, [*above, one])
    elif isinstance(one, type | functools.partial) or hasattr(one, "__code__"):
        yield from _code(one)
        for cell in getattr(one, "__closure__", None) or ():
            yield from _held(cell.cell_contents, [*above, one])
    elif hasattr(one, "__func__"):  # a method that is bound
        yield from _held(one.__func__, above)
        yield from _held(one.__self__, above)
    elif hasattr(one, "__dict__"):
        yield from _code(type(one))
        yield from _held(dict(sorted(vars(one).items())), [*above, one])
    else:
        yield repr(one).encode()
