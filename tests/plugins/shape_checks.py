"""Runs the shape annotations: functions whose signature names a jaxtyping shape are checked as they are called.

Only such functions are wrapped, and only their shapes are looked at (a stand-in for a model need not be one), so the
suite pays for nothing else. In CI each call is checked; elsewhere the first of each function in each test, a fifth of
all, since a loop calls with the same shapes. Modules are met as they are imported; other processes are not.
"""

import functools
import inspect
import os
import sys
from collections import Counter
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

PACKAGE = "hage_transfer"
checked: set[str] = set()
"""Functions whose shapes run."""

calls: Counter[str] = Counter()
"""Of each such function in the test that runs."""

most_calls = sys.maxsize if os.environ.get("CI") else 20
"""Calls of a function that are checked in a test."""

paused: list[str] = []
"""Tests that give a wrong shape on purpose, to meet the function's own refusal."""


def install() -> None:
    """Check the modules of the package from now on; none may have been imported before."""
    if loaded := sorted(name for name in sys.modules if name.startswith(f"{PACKAGE}.")):
        raise RuntimeError(f"imported before their shapes could be checked: {', '.join(loaded)}")
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith(f"{PACKAGE}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _check_module(module)

        spec.loader.exec_module = exec_module
        return spec


def _check_module(module: ModuleType) -> None:
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, FunctionType):
            setattr(module, name, _checked(value, vars(module)))
        elif inspect.isclass(value):
            _check_class(value, vars(module))


def _check_class(owner: type, names: dict[str, Any]) -> None:
    for name, value in list(vars(owner).items()):
        if isinstance(value, FunctionType):
            new: Any = _checked(value, names)
        elif isinstance(value, (staticmethod, classmethod)):
            new = type(value)(_checked(value.__func__, names))
        elif isinstance(value, property) and value.fget is not None:
            new = property(_checked(value.fget, names), value.fset, value.fdel)
        elif isinstance(value, functools.cached_property):
            value.func = _checked(value.func, names)
            continue
        else:
            continue
        setattr(owner, name, new)


def _checked(function: Callable[..., Any], names: dict[str, Any]) -> Callable[..., Any]:
    hints = {name: _evaluated(hint, names) for name, hint in function.__annotations__.items()}
    shapes = {name: hint for name, hint in hints.items() if _has_shape(hint)}
    if inspect.isgeneratorfunction(function):
        shapes.pop("return", None)  # what it yields is met long after its arguments
    if not shapes:
        return function
    whole, function.__annotations__ = function.__annotations__, shapes
    checking = beartype(function)
    function.__annotations__ = whole

    name = f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def with_shapes(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        if paused or calls[name] > most_calls:
            return function(*args, **kwargs)
        with jaxtyped("context"):
            return checking(*args, **kwargs)

    checked.add(name)
    return with_shapes


def _evaluated(hint: Any, names: dict[str, Any]) -> Any:
    """A hint that was written as text, where there may be a shape in it."""
    return eval(hint, names) if isinstance(hint, str) and "'" in hint else hint


def _has_shape(hint: Any) -> bool:
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(
        _has_shape(part) for part in get_args(hint)
    )
