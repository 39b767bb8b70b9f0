"""Reads run directories for the report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hage_transfer.errors import DataError
from hage_transfer.results import MEAN, STD, Record, Results
from hage_transfer.run_directory import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE

BASELINE = "frozen"


@dataclass(frozen=True)
class Run:
    """A finished run: its numbers and how it was made.

    Attributes:
        path: the run directory.
        task: ``pretrain``, ``probe`` or ``mil``.
        results: what ``results.json`` holds.
        config: text of ``config.yaml``.
        environment: versions, command, commit; empty where the file is not there.
    """

    path: Path
    task: str
    results: Results
    config: str
    environment: dict[str, Any]

    @property
    def meta(self) -> dict[str, Any]:
        """What the run says of itself as a whole."""
        return dict(self.results.meta)

    @property
    def sources(self) -> list[str]:
        """Feature sources, or methods of a gene table, in the order of the results."""
        return list(dict.fromkeys(record.source for record in self.results.records))

    def folds(self) -> list[str]:
        """Names of the folds, in the order of the results."""
        names = dict.fromkeys(record.fold for record in self.results.records if record.split == "test")
        return [name for name in names if name not in (MEAN, STD)]

    def fold_values(self, source: str, metric: str, *, trial: int | None = None) -> dict[str, float]:
        """A metric in each fold where it is defined; ``trial`` None: the row over trials."""
        found = self.results.select(source=source, metric=metric, trial=trial, split="test", section=None)
        return {r.fold: r.value for r in found if r.fold not in (MEAN, STD) and r.value is not None}

    def trials(self, source: str) -> list[int]:
        """Numbers of a source's trials; empty where it has one row only."""
        return sorted({r.trial for r in self.results.records if r.source == source and r.trial is not None})

    def section_records(self) -> list[Record]:
        """Rows of single test sections, over trials."""
        return [r for r in self.results.records if r.section is not None and r.trial is None]

    def warnings(self) -> list[str]:
        """What the run itself doubts."""
        return [str(warning) for warning in self.meta.get("warnings", [])]


def read_run(path: Path) -> Run:
    """Reads a run directory.

    Raises:
        DataError: no finished run there, or its results hold no record.
    """
    if not (path / RESULTS_FILE).is_file():
        hint = "is the run finished?" if (path / CONFIG_FILE).is_file() else "give the folder of a run"
        raise DataError(f"{path}: no {RESULTS_FILE} in it; {hint}")
    results = Results.load(path / RESULTS_FILE)
    if not results.records:
        raise DataError(f"{path / RESULTS_FILE}: holds no record; run it again with --overwrite")
    return Run(
        path=path,
        task=results.records[0].task,
        results=results,
        config=(path / CONFIG_FILE).read_text(encoding="utf-8") if (path / CONFIG_FILE).is_file() else "",
        environment=_read_environment(path / ENVIRONMENT_FILE),
    )


def _read_environment(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a JSON object: {error}") from None
