"""Recipes by name, and a config in any of its forms as the typed one."""

import difflib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from hage_transfer.config import Changes, Settings, key_rows, make_config, read_yaml
from hage_transfer.door.compare_config import CompareConfig
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.errors import ConfigError
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig

ENDINGS = (".yaml", ".yml")
TASKS: Mapping[str, type[Settings]] = {
    "pretrain": PretrainConfig,
    "probe": ProbeConfig,
    "mil": MilConfig,
    "compare": CompareConfig,
}
_FOLDERS = {PretrainConfig: "pretrain", ProbeConfig: "probes", MilConfig: "mil", CompareConfig: "compare"}
_COMMANDS = {"compare": "compare_systems"}
"""Functions that are not called as their task."""
Config = TypeVar("Config", bound=Settings)


def recipes() -> pd.DataFrame:
    """The recipes that come with the package: a row each, its ``name``, what it is ``about``, and its ``path``.

    >>> "mil/tcga_brca" in set(recipes()["name"])
    True
    """
    found = [(name, _about(path), path) for name, path in _recipes().items()]
    return pd.DataFrame(found, columns=["name", "about", "path"])


def copy_recipe(name: str, out: PathLike | None = None) -> Path:
    """Copies a recipe, to be changed.

    Args:
        name: of a recipe.
        out: file, or folder, to write to; None: its file's own name, here.

    Returns:
        The file.

    Raises:
        ConfigError: no such recipe, or a file that is there already.

    >>> import tempfile
    >>> copy_recipe("tcga_brca", tempfile.mkdtemp()).name
    'tcga_brca.yaml'
    """
    path = find_recipe(name)
    target = Path(path.name) if out is None else Path(out)
    target = target / path.name if target.is_dir() else target
    if target.exists():
        raise ConfigError(f"{target}: is there already; give another out, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target


def read_recipe(name: str) -> str:
    """The text of a recipe.

    Raises:
        ConfigError: no such recipe.

    >>> read_recipe("tcga_brca").startswith("# hage mil")
    True
    """
    return find_recipe(name).read_text(encoding="utf-8")


def recipe_keys(task: str) -> pd.DataFrame:
    """Every key of a task's configs: ``key``, ``type``, ``default`` and what it ``means``.

    Args:
        task: ``pretrain``, ``probe``, ``mil`` or ``compare``.

    Raises:
        ConfigError: no such task.

    >>> recipe_keys("mil").set_index("key").loc["train.epochs", "default"]
    '200'
    """
    if task not in TASKS:
        raise ConfigError(f"no task {task}; wanted {', '.join(TASKS)}")
    return pd.DataFrame(key_rows(TASKS[task]), columns=["key", "type", "default", "means"])


def resolve_config(model: type[Config], config: ConfigLike, *changes: Changes) -> Config:
    """A config in any of its forms as the typed one, with changes.

    Args:
        model: of the task.
        config: a recipe's name, a path, a mapping of keys, or the typed config.
        changes: each a mapping of keys (nested or dotted) or texts ``key=value``, applied in their order.

    Raises:
        ConfigError: no such recipe or file; unknown keys, each with the nearest valid one, and wrong values.
    """
    tree, where = _tree(model, config)
    try:
        return make_config(model, tree, *changes, where=where)
    except ConfigError:
        _refuse_other_task(model, tree, where)
        raise


def resolve_config_of_any_task(config: ConfigLike, *changes: Changes) -> Settings:
    """A config of whichever task it is one of, the typed one; arguments as ``resolve_config``.

    Raises:
        ConfigError: as ``resolve_config``, of the task that it is nearest to; keys that several tasks would take.
    """
    if isinstance(config, Settings):
        return resolve_config(type(config), config, *changes)
    tree, where = _tree(None, config)
    found, faults = _read_as_tasks(tree, *changes, where=where)
    if len(found) > 1:
        several = " and of ".join(f"`{_COMMANDS.get(name, name)}`" for name in found)
        raise ConfigError(
            f"{where}: may be a config of {several}; give a key that only one of them has, such as data.layout"
        )
    if not found:
        raise min(faults, key=lambda fault: (str(fault).count("unknown key"), str(fault).count("; ")))
    return next(iter(found.values()))


def _read_as_tasks(
    tree: Mapping[str, Any], *changes: Changes, where: str
) -> tuple[dict[str, Settings], list[ConfigError]]:
    """The configs that keys are, whole, by task, and why they are none of the others."""
    found, faults = {}, []
    for name, model in TASKS.items():
        try:
            found[name] = make_config(model, tree, *changes, where=where)
        except ConfigError as fault:
            faults.append(fault)
    return found, faults


def _refuse_other_task(model: type[Settings], tree: Mapping[str, Any], where: str) -> None:
    """Says of a config that is another task's, whole, whose it is: its keys are not wrong one by one."""
    wanted = next((name for name, one in TASKS.items() if one is model), None)
    found = [] if wanted is None else list(_read_as_tasks(tree, where=where)[0])
    if wanted is not None and found and wanted not in found:
        own, theirs = (_COMMANDS.get(name, name) for name in (found[0], wanted))
        remedy = "; `tissue` and `check_labels` look at slides before work starts" if own == "mil" else ""
        raise ConfigError(f"{where}: a config of `{own}`, and one of `{theirs}` is wanted{remedy}")


def _tree(model: type[Settings] | None, config: ConfigLike) -> tuple[Mapping[str, Any], str]:
    if isinstance(config, Settings):
        if model is not None and not isinstance(config, model):
            raise ConfigError(f"wanted a {model.__name__}, this is a {type(config).__name__}")
        return config.model_dump(mode="python"), "the config"
    if isinstance(config, Mapping):
        return config, "the config"
    if not isinstance(config, str | os.PathLike):
        raise ConfigError(
            f"a config is a recipe's name, a path or a mapping of keys, this is a {type(config).__name__}"
        )
    path = find_recipe(config, model)
    return read_yaml(path), str(path)


def find_recipe(name: PathLike, model: type[Settings] | None = None) -> Path:
    """The file of a recipe.

    Args:
        name: of a recipe (``tcga_brca``, ``demo/mil``), or a path.
        model: of the task, whose recipes need no folder in their name.

    Raises:
        ConfigError: no such file and no such recipe; the nearest is named.
    """
    path = Path(name)
    if path.is_file() or path.suffix in ENDINGS or not isinstance(name, str):
        return path
    found = _recipes()
    own = f"{_FOLDERS.get(model, '')}/{name}" if model is not None else ""
    same = [known for known in found if known.rpartition("/")[2] == name]
    for wanted in (own, name, *(same if len(same) == 1 else ())):
        if wanted in found:
            return found[wanted]
    if same and model is None:
        raise ConfigError(f"several recipes are called {name}: {', '.join(same)}; name one with its folder")
    last = {known.rpartition("/")[2]: known for known in found}
    near = difflib.get_close_matches(name, [*found, *last], n=1, cutoff=0.0)[0]
    raise ConfigError(
        f"{name}: no such file, and no recipe of this name; the nearest recipe is {last.get(near, near)} "
        "(`recipes` lists all)"
    )


def recipe_stem(config: ConfigLike, default: str) -> str:
    """What a run of a config is called: its file's name without ending, or ``default`` where it has no file."""
    return Path(config).stem if isinstance(config, str | os.PathLike) else default


def _recipes() -> dict[str, Path]:
    """Names to files, in order."""
    folder = _folder()
    paths = sorted(path for ending in ENDINGS for path in folder.rglob(f"*{ending}"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _folder() -> Path:
    """Where the recipes lie: inside the wheel, or in the repository that an editable install points to."""
    with as_file(files("hage_transfer")) as package:
        candidates = (package / "recipes", package.parent / "configs")
    for folder in candidates:
        if (folder / "demo").is_dir():
            return folder
    raise ConfigError(f"no recipes in {candidates[0]} nor in {candidates[1]}; install hage-transfer again")


def _about(path: Path) -> str:
    """The first sentence of a recipe's heading comment, after its commands."""
    lines = [line for line in _heading(path) if line and not line.startswith(("hage ", "--"))]
    return re.split(r"(?<!et al)\.(?= |$)", " ".join(lines), maxsplit=1)[0]


def _heading(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        yield line.lstrip("# ").strip()
