"""The reference pages of commands and of config keys, written from the program: `python docs/hooks/pages.py`."""

import types
import typing
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
MARK = "\n<!-- written by docs/hooks/pages.py; what follows is the program's own text -->\n"
"""Ends what is written by hand at the top of a generated page."""


def main() -> None:
    """Writes both pages."""
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")


def written() -> dict[Path, str]:
    """Each generated page as it should be."""
    parts = {REFERENCE / "cli.md": commands, REFERENCE / "config.md": config_keys}
    return {
        path: f"{path.read_text(encoding='utf-8').partition(MARK)[0]}{MARK}\n{function()}\n"
        for path, function in parts.items()
    }


def commands() -> str:
    """Every command of `hage` with its arguments and options."""
    from hage_transfer.cli.main import app

    return "\n\n".join(_command(name, command) for name, command in walk(typer.main.get_command(app), "hage"))


def walk(command: Any, path: str) -> list[tuple[str, Any]]:
    """Each command that runs something, by its whole name."""
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [found for name, sub in command.commands.items() for found in walk(sub, f"{path} {name}")]


def _command(name: str, command: Any) -> str:
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    about = "\n\n".join(_escaped(part.strip()) for part in (command.help or "").split("\n\n"))
    table = "| | default | |\n|---|---|---|\n" + "\n".join(rows) if rows else ""
    return f"## {name}\n\n{about}\n\n{table}"


def _row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{(parameter.metavar or parameter.name).upper()}`"
    default = (
        "required"
        if parameter.required
        else ""
        if parameter.default is None or parameter.default is False
        else f"`{parameter.default}`"
    )
    return f"| {names} | {default} | {_cell(parameter.help or '')} |"


def config_keys() -> str:
    """Every key of the configs: default and what it decides."""
    from hage_transfer.door.compare_config import CompareConfig
    from hage_transfer.mil.config import MilConfig
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.probes.config import ProbeConfig

    parts = []
    for title, model in (
        ("Pretraining: `hage encode st`, `hage pretrain`, `hage genes`, `hage predict`", PretrainConfig),
        ("Probes: `hage encode patches`, `hage patches check`, `hage probe`", ProbeConfig),
        ("Slides: `hage encode slides`, `hage tissue`, `hage mil`", MilConfig),
        ("All systems: `hage compare`", CompareConfig),
    ):
        rows = "\n".join(f"| `{key}` | {default} | {about} |" for key, default, about in keys(model))
        parts.append(f"## {title}\n\n| key | default | |\n|---|---|---|\n{rows}")
    return "\n\n".join(parts)


def keys(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str]]:
    """Dotted key, default and description of every value in a config; keys of nested groups in their place."""
    rows: dict[str, tuple[str, str, str]] = {}
    for name, field in model.model_fields.items():
        nested = _models(field.annotation)
        key = f"{prefix}{name}"
        if nested and not _is_mapping(field.annotation):
            for one in nested:
                for row in keys(one, f"{key}."):
                    rows.setdefault(row[0], row)
            continue
        default = "required" if field.is_required() else f"`{_shown(field.default)}`"
        rows[key] = (key, default, _cell(field.description or ""))
        for one in nested:
            rows |= {row[0]: row for row in keys(one, f"{key}.<name>.")}
    return list(rows.values())


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _models(part)]


def _is_mapping(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return any(_is_mapping(part) for part in typing.get_args(annotation))
    return origin is dict


def _shown(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{key}: {{}}" if isinstance(one, BaseModel) else f"{key}: {one}" for key, one in value.items())
            + "}"
        )
    return str(value) if not isinstance(value, Path) else value.as_posix()


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    """``<slide>`` is no HTML, ``[,group]`` no link; code in backticks stays as it is."""
    parts = text.split("`")
    plain = {
        number: part.replace("<", "&lt;").replace("[", "\\[") for number, part in enumerate(parts) if not number % 2
    }
    return "`".join(plain.get(number, part) for number, part in enumerate(parts))


if __name__ == "__main__":
    main()
