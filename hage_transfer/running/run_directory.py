"""The run directory: one folder per run that says what was run, on what, with what result.

``config.yaml`` (resolved), ``environment.json``, ``log.txt``, ``results.json``, ``failures.csv`` and the task's own
folders. Opening an existing one resumes it; opening it with another config is refused.
"""

import importlib.metadata
import logging
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hage_transfer.bounded import MAX_YAML_BYTES, BoundsError, parse_yaml, read_text
from hage_transfer.config import Settings, dump_config
from hage_transfer.errors import ConfigError
from hage_transfer.running.atomic import remove_partial, write_json, write_text
from hage_transfer.running.failures import FAILURES_FILE
from hage_transfer.running.locks import leave, wait_for_lock

CONFIG_FILE, ENVIRONMENT_FILE, LOG_FILE = "config.yaml", "environment.json", "log.txt"
RESULTS_FILE = "results.json"
LOCKS = "locks"
"""Of a run: whoever is at work in it; gone when no one is."""
PARTS_FOLDER, PART_LOCK = "shards", "shard-"
"""Of a run that tasks of an array share: ``failures.csv`` of each, and how the names of their locks begin."""
SYNTHETIC = "made_with.json"
"""Beside or in a folder of data that `hage demo` made."""
GIVEN = "given_"
"""How the names of tables begin that a caller gave as rows in memory."""
MODELS_FOLDER = "models"
"""Of a run: the trained weights, by source and trial."""
HEATMAPS_FOLDER = "heatmaps"
"""Of explained slides in a MIL run; below it, a folder for each source."""
SLIDES_FILE, GENES_FILE = "slides.csv", "genes.csv"
"""Of an explained source: its slides, its genes over slides. A slide's own folder has a `genes.csv` too."""
TILES_FILE, H5AD_FILE = "tiles.csv", "tiles.h5ad"
"""Of an explained slide."""
_PACKAGES = (
    "hage-transfer",
    "torch",
    "torchvision",
    "timm",
    "onnxruntime",
    "lightning",
    "scikit-learn",
    "anndata",
    "scanpy",
    "numpy",
    "pandas",
    "h5py",
    "openslide-python",
)


log = logging.getLogger(__name__)


class Standing:
    """A folder that work goes into: that it is still the one that was there when the work began."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._seen = folder, _identity(folder)

    def check(self) -> None:
        """Refuses to go on, and to end as if all were there, where the folder was deleted or moved away.

        Raises:
            ConfigError: see above.
        """
        if self._seen is not None and _identity(self._folder) != self._seen:
            raise ConfigError(
                f"{self._folder}: was deleted or moved while this command was at work in it; put it back, or remove "
                "what is there now, and run the same command again"
            )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time in a folder: another that comes meanwhile waits, and finds what the first one made.

    Raises:
        ConfigError: the folder was deleted or moved meanwhile, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; out= names a folder")
    try:
        lock = wait_for_lock(folder / LOCKS, "run", told="waiting for it to end")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); give another out=") from None
    try:
        standing = Standing(folder)
        yield
        standing.check()
    finally:
        lock.release()
        leave(folder / LOCKS)
        leave(folder)


def wait_for_parts(folder: Path) -> None:
    """Until no task of an array is at work in a run; failures that they left are for whoever waits to meet again."""
    locks = folder / LOCKS
    names = {path.name.rsplit(".", 2)[0] for path in locks.glob(f"{PART_LOCK}*")}
    for name in sorted(names):
        wait_for_lock(locks, name, told="waiting for it to end").release()
    shutil.rmtree(folder / PARTS_FOLDER, ignore_errors=True)


@dataclass(frozen=True)
class RunDirectory:
    """A run's folder; see the module for what is in it."""

    path: Path

    @classmethod
    def open(cls, path: Path, config: Settings, *, overwrite: bool = False) -> "RunDirectory":
        """Creates the folder, or opens it again to do what is left.

        Raises:
            ConfigError: the folder holds a run of another config (the differing keys are named), or other files.
        """
        cls.check(path, config, overwrite=overwrite)
        if overwrite and _is_run(path):
            for entry in path.iterdir():
                if entry.is_dir() and entry.name != LOCKS:
                    shutil.rmtree(entry)
                elif entry.name != LOCKS:
                    entry.unlink()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be made ({error.strerror}); give another out=") from None
        remove_partial(path)
        root = Path(getattr(getattr(config, "data", None), "root", None) or path)
        made_up = any((folder / SYNTHETIC).is_file() for folder in (root, root.resolve().parent))
        write_json(path / ENVIRONMENT_FILE, environment() | {"synthetic": made_up})
        write_text(path / CONFIG_FILE, dump_config(config))
        return cls(path)

    @classmethod
    def check(cls, path: Path, config: Settings, *, overwrite: bool = False) -> None:
        """Refuses what ``open`` would refuse, before work for it begins; nothing is written."""
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path}: is a file; out= names a folder")
        if not path.is_dir() or not _has_work(path) or (overwrite and _is_run(path)):
            return
        if not _is_run(path):
            raise ConfigError(f"{path}: exists and is no run directory; give another out=")
        differing = _differing_keys(path / CONFIG_FILE, config)
        if differing:
            raise ConfigError(
                f"{path}: holds a run of another config (differs in {', '.join(differing)}); "
                "give another out=, or overwrite=True to delete that run"
            )

    @property
    def results_path(self) -> Path:
        """Where ``results.json`` is or will be."""
        return self.path / RESULTS_FILE

    def log_handler(self) -> logging.Handler:
        """A handler that appends to ``log.txt``; the caller adds it to a logger and closes it."""
        handler = _LogFile(self.path / LOG_FILE, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        return handler


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  a name of logging's
        """A full disk takes no line of the log; what the run writes there says so."""


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        facts = folder.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _is_run(path: Path) -> bool:
    return (path / CONFIG_FILE).exists() and (path / ENVIRONMENT_FILE).exists()


def _has_work(path: Path) -> bool:
    """Whether the folder holds more than what comes before work: a run that failed at its input blocks nothing."""
    before = (CONFIG_FILE, ENVIRONMENT_FILE, LOG_FILE, FAILURES_FILE, LOCKS)
    return any(entry.name not in before and not entry.name.startswith(GIVEN) for entry in path.iterdir())


def environment() -> dict[str, Any]:
    """Versions, platform, command line and commit that a run was made with."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "commit": _commit(),
    }


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def _differing_keys(path: Path, config: Settings) -> list[str]:
    try:
        tree = parse_yaml(read_text(path, limit_bytes=MAX_YAML_BYTES))
    except BoundsError:
        tree = None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: is not the config of a run; give another out=")
    try:  # a key that is new since then has its default
        tree = type(config).model_validate(tree).model_dump(mode="json")
    except ValidationError:
        log.debug("%s does not fit the present form of its config; compared as it stands", path)
    before = _flatten(tree)
    now = _flatten(config.model_dump(mode="json"))
    added = {"null", "controls", "train.final"}  # which add to a run and change no number that it has
    keys = (before.keys() | now.keys()) - added
    return sorted(key for key in keys if before.get(key, "") != now.get(key, ""))


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
