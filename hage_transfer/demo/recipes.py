"""Where the YAML recipes lie: inside the wheel, or in the repository that an editable install points to."""

from importlib.resources import as_file, files
from pathlib import Path

from hage_transfer.errors import ConfigError


def recipes_folder() -> Path:
    """The folder that holds ``demo/``, ``pretrain/``, ``probes/`` and ``mil/``.

    Raises:
        ConfigError: the installation has none.
    """
    with as_file(files("hage_transfer")) as package:
        candidates = (package / "recipes", package.parent / "configs")
    for folder in candidates:
        if (folder / "demo").is_dir():
            return folder
    raise ConfigError(f"no recipes in {candidates[0]} nor in {candidates[1]}; install hage-transfer again")


def demo_recipe(task: str) -> Path:
    """The demo's recipe of ``pretrain``, ``probe`` or ``mil``."""
    return recipes_folder() / "demo" / f"{task}.yaml"
