"""Laws that every public function keeps."""

import ast
import inspect
import os
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import hage_transfer as ht

PACKAGE = Path(ht.__file__).parent
FUNCTIONS = sorted(name for name in ht.__all__ if inspect.isfunction(getattr(ht, name)))
PLAIN = {"builtins", "os", "pathlib", "typing", "collections.abc", "pandas", "numpy", "types"}
OURS = {"Settings", "FrozenEncoder", "Progress"}
"""What a signature may ask for besides plain values: a typed config, and two protocols that a user's object keeps."""


def parts(annotation: object) -> Iterator[object]:
    """The types that an annotation is made of."""
    found = typing.get_args(annotation)
    if not found:
        yield annotation
    elif typing.get_origin(annotation) is not typing.Literal:
        for part in found:
            yield from parts(part) if not isinstance(part, list) else (one for p in part for one in parts(p))


def annotations(name: str) -> dict[str, object]:
    function = getattr(ht, name)
    module = inspect.getmodule(function)
    space = dict(vars(module))
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # what is imported for type checkers alone
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), "", "exec"), space)
    return typing.get_type_hints(function, space)


def test_the_public_names_are_the_same_in_all_three_places():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(ht.__all__) == ht.__all__
    assert set(ht.__all__) - {"__version__"} == set(ht._HOMES) == seen


def test_functions_are_still_there_when_the_folders_of_their_names_were_imported():
    import hage_transfer.mil.config
    import hage_transfer.predict.items
    import hage_transfer.pretrain.config
    import hage_transfer.report.page  # noqa: F401

    for name in ("mil", "pretrain", "predict", "report", "explain", "demo"):
        assert inspect.isfunction(getattr(ht, name)), name
    with pytest.raises(AttributeError, match="nothing"):
        ht.nothing  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_signature_asks_for_plain_values(name):
    hints = annotations(name)
    hints.pop("return")
    assert set(hints) == set(inspect.signature(getattr(ht, name)).parameters)
    for parameter, annotation in hints.items():
        kinds = list(parts(annotation))
        for kind in kinds:
            home = getattr(kind, "__module__", "builtins").removesuffix(".core.frame")
            assert home in PLAIN or getattr(kind, "__name__", "") in OURS, f"{name}({parameter}): {kind}"
        assert Path not in kinds, f"{name}({parameter}): a Path alone; wanted str or PathLike"
        paths = [kind for kind in kinds if kind is os.PathLike or kind is str]
        assert os.PathLike not in kinds or str in paths


@pytest.mark.parametrize("name", FUNCTIONS)
def test_options_are_named_and_documented(name):
    parameters = inspect.signature(getattr(ht, name)).parameters.values()
    assert sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters) <= 2
    about = inspect.getdoc(getattr(ht, name)) or ""
    undocumented = [one.name for one in parameters if f"{one.name}: " not in about]
    assert len(undocumented) <= 1 or name in ("read_features",), undocumented


def test_nothing_below_the_command_line_prints():
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "cli") or path == PACKAGE / "running" / "progress.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if called or module.partition(".")[0] in ("rich", "typer"):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []


def test_a_result_of_python_is_a_function_or_a_class():
    kinds = (types.FunctionType, type, str)
    assert all(isinstance(getattr(ht, name), kinds) for name in ht.__all__)
