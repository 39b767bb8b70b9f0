"""Reads run directories for the report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.compare.controls import controls_of
from hage_transfer.compare.records import MEAN, STD, Record
from hage_transfer.compare.results import Results
from hage_transfer.errors import DataError
from hage_transfer.running.failures import read_failures
from hage_transfer.running.run_directory import CONFIG_FILE, ENVIRONMENT_FILE, LOG_FILE, RESULTS_FILE, SYNTHETIC

PREDICT_FILE = "predict.json"
MADE_UP = "synthetic data"
TASKS = ("pretrain", "probe", "mil", "compare")


@dataclass(frozen=True)
class Run:
    """A finished run: its numbers and how it was made.

    Attributes:
        path: the run directory.
        task: ``pretrain``, ``probe``, ``mil`` or ``compare``.
        results: what ``results.json`` holds.
        config: text of ``config.yaml``.
        environment: versions, command, commit; empty where the file is not there.
        label: name on the page; empty: the folder's.
    """

    path: Path
    task: str
    results: Results
    config: str
    environment: dict[str, Any]
    label: str = ""

    @property
    def name(self) -> str:
        """What the page calls it."""
        return (self.label or self.path.resolve().name) + (f", {MADE_UP}" if self.is_synthetic else "")

    @property
    def is_synthetic(self) -> bool:
        """Whether a generator made its data, as its features say, or it itself, or (older runs) what lies beside it."""
        files = [one for found in (self.meta.get("features") or {}).values() for one in found]
        if self.meta.get("synthetic") or any(one.get("synthetic") for one in files):
            return True
        beside = self.path.resolve().parent / "data" / SYNTHETIC
        return bool(self.environment.get("synthetic", beside.is_file()) or self.results.meta.get("synthetic"))

    @property
    def named(self) -> Results:
        """The results under the page's name, which their differences carry."""
        return replace(self.results, name=self.name)

    @property
    def meta(self) -> dict[str, Any]:
        """What the run says of itself as a whole."""
        return dict(self.results.meta)

    @property
    def sources(self) -> list[str]:
        """Feature sources, or methods of a gene table, in the order of the results."""
        return self.results.sources

    @property
    def controls(self) -> dict[str, str]:
        """Sources that are controls, and which; they are compared with, and never the answer."""
        return controls_of(self.results)

    def shown(self, source: str) -> str:
        """What the page calls a source: a control says that it is one."""
        return f"{source} (control)" if source in self.controls else source

    def folds(self) -> list[str]:
        """Names of the folds, in the order of the results."""
        names = dict.fromkeys(record.fold for record in self.results.records if record.split == "test")
        return [name for name in names if name not in (MEAN, STD)]

    def fold_values(self, source: str, metric: str, *, trial: int | None = None) -> dict[str, float]:
        """A metric in each fold where it is defined; ``trial`` None: the row over trials."""
        return self.results.fold_values(source, metric, trial=trial)

    def trials(self, source: str) -> list[int]:
        """Numbers of a source's trials; empty where it has one row only."""
        return self.results.trials(source)

    def section_records(self) -> list[Record]:
        """Rows of single test sections, over trials."""
        return [r for r in self.results.records if r.section is not None and r.trial is None]

    def warnings(self) -> list[str]:
        """What the run itself doubts."""
        return self.results.notes

    def failures(self) -> dict[str, str]:
        """Items that failed and why."""
        return read_failures(self.path)


@dataclass(frozen=True)
class Unfinished:
    """A run without results: it is under way, was interrupted, or was refused.

    Attributes:
        path: its folder.
        reason: the last error in its log; empty where there is none.
        failures: items that failed and why.
    """

    path: Path
    reason: str
    failures: dict[str, str]


def read_run(path: Path) -> Run:
    """Reads a run directory.

    Raises:
        DataError: no finished run there, or its results hold no record or one of an unknown task.
    """
    check_run(path)
    results = Results.load(path / RESULTS_FILE)
    if not results.records:
        raise DataError(f"{path / RESULTS_FILE}: holds no record; run it again with overwrite=True")
    task = results.records[0].task
    if task not in TASKS:
        raise DataError(f"{path / RESULTS_FILE}: task {task!r} is none of {', '.join(TASKS)}")
    return Run(path, task, results, _read_text(path / CONFIG_FILE), _read_environment(path / ENVIRONMENT_FILE))


def check_run(path: Path) -> None:
    """Refuses what is no folder of a finished run, which costs nothing.

    Raises:
        DataError: see above.
    """
    if not (path / RESULTS_FILE).is_file():
        raise DataError(f"{path}: no {RESULTS_FILE} in it; {_hint(path)}")


def is_unfinished(path: Path) -> bool:
    """Whether a folder holds a run that has no results yet."""
    return (path / CONFIG_FILE).is_file() and not (path / RESULTS_FILE).is_file()


def read_unfinished(path: Path) -> Unfinished:
    """What a run without results left behind."""
    errors = [line for line in _read_text(path / LOG_FILE).splitlines() if " ERROR " in line]
    return Unfinished(
        path, errors[-1].partition(" ERROR ")[2].partition(": ")[2] if errors else "", read_failures(path)
    )


def with_labels(runs: Sequence[Run]) -> list[Run]:
    """The runs with names of their own: as many of a path's last folders as it takes to tell them apart.

    Raises:
        DataError: a run is given twice.
    """
    whole = [run.path.resolve() for run in runs]
    for path in whole:
        if whole.count(path) > 1:
            raise DataError(f"{path}: is given {whole.count(path)} times; name each run once")
    labels = []
    for path in whole:
        others = [other for other in whole if other != path]
        length = 1
        while any(other.parts[-length:] == path.parts[-length:] for other in others):
            length += 1
        labels.append("/".join(path.parts[-length:]))
    return [replace(run, label=label) for run, label in zip(runs, labels, strict=True)]


def _hint(path: Path) -> str:
    if not path.exists():
        return "no such folder"
    return "is the run finished?" if (path / CONFIG_FILE).is_file() else "give the folder of a run"


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_environment(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        tree = read_json(path)
    except BoundsError as error:
        raise DataError(f"{path}: not a JSON object: {error}") from None
    if not isinstance(tree, dict):
        raise DataError(f"{path}: not a JSON object")
    return tree
