"""What an application leaves: a row a slide or patch, read from `scores.csv`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.errors import DataError
from hage_transfer.running.failures import read_failures

SCORES_FILE, FACTS_FILE, AS_RUN = "scores.csv", "apply.json", "as_run"
_SHOWN = ("probability", "spread", "call", "calibrated", "doubt", "doubtful", "why")


@dataclass(frozen=True, repr=False)
class Scores(os.PathLike[str]):
    """Scores of new slides or patches; columns of ``frame()`` are its own (``scores["call"]``), and it shows itself.

    Attributes:
        folder: of the application.
        facts: what ``apply.json`` says: classifier, operating point, threshold, calibration.
    """

    folder: Path
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Scores":
        """Reads the folder of an application.

        Raises:
            DataError: no such folder, or a file that is damaged.
        """
        try:
            return cls(folder, dict(read_json(folder / FACTS_FILE)))
        except FileNotFoundError:
            raise DataError(f"{folder}: holds no scores ({FACTS_FILE} is missing); `apply` makes them") from None
        except (BoundsError, TypeError, ValueError) as error:
            raise DataError(f"{folder / FACTS_FILE}: {error}") from None

    def __fspath__(self) -> str:
        return str(self.folder)

    @cached_property
    def _table(self) -> pd.DataFrame:
        names = {"slide": str, "key": str, "call": str, "why": str}
        try:
            table = pd.read_csv(self.folder / SCORES_FILE, dtype=names, keep_default_na=False, na_values={
                "doubt": [""], "tile_distance": [""], "stain_distance": [""], "spread_quantile": [""],
                "tile_quantile": [""], "stain_quantile": [""],
            })  # fmt: skip
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder / SCORES_FILE}: cannot be read ({error}); run `apply` again") from None
        return table

    def frame(self) -> pd.DataFrame:
        """Every row and column of ``scores.csv``."""
        return self._table.copy()

    def table(self) -> pd.DataFrame:
        """What matters most, by slide or patch."""
        return self._table.set_index(self._table.columns[0])[self.shown]

    @property
    def shown(self) -> list[str]:
        """Columns that matter most."""
        from hage_transfer.targets.make import target_of  # scikit-learn: the door is opened without it

        target = target_of(self.facts.get("target"))
        if target is None:
            return list(_SHOWN)
        call = ["call"] if "call" in self._table.columns else []
        fitted = ["calibrated"] if "calibrated" in self._table.columns else []
        return [*target.main_scores, *fitted, "spread", *call, "doubt", "doubtful", "why"]

    @property
    def failures(self) -> dict[str, str]:
        """Reason of each slide that failed."""
        return read_failures(self.folder)

    def __getitem__(self, column: str) -> pd.Series:
        return self._table[column]

    def __len__(self) -> int:
        return len(self._table)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._table.columns)

    def __repr__(self) -> str:
        return f"{self.caption()}\n{self.table().to_string(max_rows=20)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{escape(self.caption())}</p>{self.table().to_html(max_rows=20)}"

    def caption(self) -> str:
        """Which classifier called how many of what, and how."""
        facts, table = self.facts, self._table
        failed = f", {len(self.failures)} failed" if self.failures else ""
        doubtful = f"{int(table['doubtful'].sum())} doubtful"
        from hage_transfer.targets.make import target_of

        target = target_of(facts.get("target"))
        if target is not None:
            medians = ", ".join(f"median {name} {table[name].median():.3g}" for name in target.main_scores)
            of = f"{len(table)} scored by {facts['source']} ({target.kind})"
            return f"{self.folder}: {of}: {medians}; {doubtful}{failed}"
        counts = ", ".join(f"{number} {name}" for name, number in table["call"].value_counts().items())
        at = facts["operating_point"]
        at += "" if facts["threshold"] is None else f", {facts['positive']} from {facts['threshold']:.3g} on"
        return (
            f"{self.folder}: {len(table)} scored by {facts['source']} ({at}): {counts}; {doubtful}, "
            f"{int(table['abstained'].sum())} abstained{failed}; calibration: {facts['calibration']}"
        )


def as_run(folder: Path) -> tuple[Path, Path | None]:
    """A MIL run as it is; of an application, the folder in it that is laid out as a run, and where its slides are.

    Raises:
        DataError: an application of a probe, which scores patches.
    """
    if not (folder / FACTS_FILE).is_file():
        return folder, None
    facts = Scores.read(folder).facts
    if facts.get("task") != "mil":
        raise DataError(
            f"{folder}: scores patches; slides are explained and shown where a classifier of slides was applied"
        )
    return folder / AS_RUN, None if facts.get("slides") is None else Path(facts["slides"])
