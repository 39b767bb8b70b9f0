"""What a run leaves behind: its results, its folder, and what else a notebook wants of it."""

import csv
import html
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hage_transfer.compare.results import MAIN_METRICS, Results
from hage_transfer.errors import DataError
from hage_transfer.running.run_directory import RESULTS_FILE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from hage_transfer.apply.scores import Scores
    from hage_transfer.running.shards import RunPart


@dataclass(frozen=True, repr=False)
class RunResults(Results):
    """Results of a run that lies in a folder; it stands wherever a path of that run is wanted.

    Attributes:
        folder: the run directory.
        model: the user's own class of bag classifier, where ``mil`` was given one; a folder does not keep it.
    """

    folder: Path = Path()
    model: Callable[..., Any] | None = field(default=None, compare=False)

    @classmethod
    def read(cls, folder: Path) -> "RunResults":
        """Reads a run directory; errors as ``Results.load``."""
        found = Results.load(folder / RESULTS_FILE)
        return cls(**{one.name: getattr(found, one.name) for one in fields(Results)}, folder=folder)

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def encoders(self) -> list[Path]:
        """Encoder directories that pretraining made, one a held-out unit and trial; none of other runs."""
        return sorted(self.folder.glob("encoders/*/trial_*"))

    @property
    def controls(self) -> dict[str, list[Path]]:
        """Encoder directories of the controls that pretraining made, by name; none of other runs."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob("controls/*/*/trial_*")):
            found.setdefault(path.parts[-3], []).append(path)
        return found

    @property
    def scores(self) -> "Scores | None":
        """Scores of an external validation; None of other runs."""
        from hage_transfer.apply.scores import Scores

        return Scores.read(self.folder) if self.task == "apply" else None

    @property
    def slides(self) -> list[str]:
        """Slides that were tested, in the order of ``predictions.csv``; none of runs on patches and sections.

        Raises:
            DataError: the run's predictions are gone.
        """
        if self.task != "mil":
            return []
        path = self.folder / "predictions.csv"
        if not path.is_file():
            raise DataError(f"{path}: is gone; run it again")
        with path.open(newline="", encoding="utf-8") as handle:
            return list(dict.fromkeys(row["slide"] for row in csv.DictReader(handle)))

    @property
    def selected(self) -> dict[str, Any] | None:
        """What ``selected.json`` says, where a probe selected an encoder; else None."""
        path = self.folder / "selected.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def rankings(self) -> "dict[str, pd.DataFrame]":
        """Of a comparison of all systems: by task, each source's place with its intervals; empty of other runs."""
        import pandas as pd

        from hage_transfer.report.ranking_tables import columns_of, ranking_cells

        return {
            task: pd.DataFrame(
                [cells[1:] for cells in ranking_cells(rows)],
                index=[row["source"] for row in rows],
                columns=columns_of(self.meta["metric"]),
            )
            for task, rows in self.meta.get("ranking", {}).items()
        }

    def plot(self, metric: str | None = None) -> "Figure":
        """Every source's metric in each fold, the mean as a line, with its std.

        Args:
            metric: which; None: the first of the main ones.

        Raises:
            LookupError: no record is of that metric.
        """
        from hage_transfer.door.shown_figure import ShownFigure

        wanted = metric or next((name for name in MAIN_METRICS if name in self.metrics), self.metrics[0])
        values = self.folds(wanted)
        figure = ShownFigure(figsize=(7, 1.2 + 0.32 * len(values.columns)), layout="constrained")
        axes = figure.subplots()
        for place, source in enumerate(values.columns):
            own = values[source].dropna()
            axes.plot(own, [place] * len(own), "o", alpha=0.6)
            axes.errorbar(own.mean(), place, xerr=own.std() if len(own) > 1 else None, fmt="|", color="black", ms=14)
        axes.set_yticks(range(len(values.columns)), values.columns)
        axes.invert_yaxis()
        axes.set_xlabel(wanted)
        axes.set_title(self._caption(), fontsize="small")
        return figure


@dataclass(frozen=True, repr=False, kw_only=True)
class PartOfRun(RunResults):
    """What one task of a job array leaves: its part of a run's jobs, without numbers.

    Attributes:
        shard: which part, ``i/n``.
        n_jobs: that are done of it.
        n_left: of all parts that were not done when it ended, where what follows needs them all.
        then: what the user does next, in words.
    """

    shard: str
    n_jobs: int
    n_left: int = 0
    then: str = "the same without a shard gathers"

    @classmethod
    def of(cls, part: "RunPart") -> "PartOfRun":
        """Of a part that is done."""
        return cls([], {}, folder=part.run.path, shard=str(part.shard), n_jobs=part.n_jobs, n_left=part.n_left)

    def __repr__(self) -> str:
        return (
            f"shard {self.shard}: its {self.n_jobs} jobs are done"
            + (f", {self.n_left} of other shards are not" if self.n_left else "")
            + f"; when all shards are, {self.then} the results in {self.folder}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"
