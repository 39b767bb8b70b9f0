"""Messages name arguments below the command line, and options on it."""

import ast
import logging
import re
from pathlib import Path

import pytest

import hage_transfer
from hage_transfer.cli.flags import FlagFilter, as_flags
from hage_transfer.slides.resolution import REMEDY

ROOT = Path(hage_transfer.__file__).parent
FOLDERS = [ROOT, *(ROOT / task for task in ("pretrain", "probes", "mil"))]  # links, which a walk does not follow
SOURCES = [one for folder in FOLDERS for one in folder.rglob("*.py") if not one.is_relative_to(ROOT / "cli")]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("run: is a file; out= names a folder", "run: is a file; --out names a folder"),
        ("give another out=, or overwrite=True to delete it", "give another --out, or --overwrite to delete it"),
        ("device=cuda:9: not on this machine", "--device cuda:9: not on this machine"),
        ("leave the genes out (genes=False)", "leave the genes out (--no-genes)"),
        ("encoders=runs/*: no such directory", "--encoder runs/*: no such directory"),
        ("give it: set data.root=... first", "give it: --set data.root=... first"),
        ("set features=... anew", "--set features=... anew"),
        ("changes=train.epoch: wanted key=value", "--set train.epoch: wanted key=value"),
        ("run `mil` again with overwrite=True", "run `hage mil` again with --overwrite"),
        ("`encode_*` or `encode_slides` makes it", "`hage encode` or `hage encode slides` makes it"),
        (
            "record it: `convert(encoder_name=..., encoder_sha256=...)`",
            "record it: `hage convert --encoder-name ... --encoder-sha256 ...`",
        ),
        ("has no `keys`, nor `probability`", "has no `keys`, nor `probability`"),
        ("/data/out=3/a.h5: no such file; data.layout=x", "/data/out=3/a.h5: no such file; data.layout=x"),
    ],
)
def test_arguments_become_options(message, shown):
    assert as_flags(message) == shown


def test_log_messages_name_options_too():
    record = logging.LogRecord("hage_transfer", logging.WARNING, "", 0, "%s: overwrite=True replaces it", ("a",), None)
    assert FlagFilter().filter(record)
    assert record.getMessage() == "a: --overwrite replaces it"


def test_no_message_below_the_command_line_names_an_option():
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                text = re.sub(r"`[^`]*`", "", node.value)
                if re.search(r"(?<![\w-])--[a-z].*\s|\s--[a-z]", text) and "`" not in node.value:  # no other program's
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value[:80]}")
    assert not found


def test_no_error_below_the_command_line_names_a_command():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) or (
                isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.")
            ):
                found += [
                    f"{path.name}:{part.lineno}: {part.value[:80]}"
                    for part in ast.walk(node)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str) and "`hage " in part.value
                ]
    assert not found


def test_commands_that_messages_name_are_there():
    from hage_transfer.cli.flags import _COMMANDS
    from hage_transfer.cli.main import COMMANDS

    assert {command.split()[0] for command in _COMMANDS.values()} <= set(COMMANDS)
    assert set(_COMMANDS) - {"encode_*"} <= set(hage_transfer.__all__)


def _has_docstring(node):
    holders = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    first = node.body[0] if isinstance(node, holders) and node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)


def test_a_slide_without_resolution_names_each_command_s_own_option():
    said = as_flags(REMEDY)
    assert "--slide-mpp (`hage apply`)" in said and "--mpp (`hage tissue`)" in said
    assert "--set data.slide_mpp_um_per_px=... (`hage encode slides`, `hage mil`)" in said
