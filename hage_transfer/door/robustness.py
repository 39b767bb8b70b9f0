"""`robustness`: whether features group by class or by the centre that they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hage_transfer.compare.robustness import MOST_K, Counts, Units, best_k, ends, index_draws, nearest
from hage_transfer.csv_table import csv_table
from hage_transfer.data.labels import LabelTable, key_column, read_labels
from hage_transfer.door.given import PathLike, path_of
from hage_transfer.door.read_results import read_results
from hage_transfer.encode.sections_and_patches import FEATURES_FILE
from hage_transfer.encode.unit_rows import Trials, sources_of_run, unit_rows
from hage_transfer.errors import ConfigError, DataError, some
from hage_transfer.errors import nearest as nearest_names
from hage_transfer.running.atomic import atomic_path
from hage_transfer.running.devices import resolve_device
from hage_transfer.slide_names import slide_name

ROBUSTNESS_FILE = "robustness.csv"
MOST_UNITS = 5_000
"""Units that are compared with one another; of more, so many are drawn."""
_COLUMNS = (
    "source", "trials", "index", "low", "high", "ratio", "difference", "difference_low", "difference_high",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class Robustness:
    """The robustness index of every source; it shows itself.

    Attributes:
        rows: of each source: its index with the 95% interval by patient, de Jong's ratio, and the difference of its
            index from the first source's.
        by: the column of the centres.
        k: neighbours.
        chance: the index of features that know neither class nor centre.
        n_units: slides or patches.
        n_centres: centres.
        path: csv that it was written to.
    """

    rows: tuple[Mapping[str, Any], ...]
    by: str
    k: int
    chance: float
    n_units: int
    n_centres: int
    path: Path

    def frame(self) -> pd.DataFrame:
        """A row a source."""
        return pd.DataFrame(list(self.rows), columns=list(_COLUMNS))

    def caption(self) -> str:
        """What the numbers are of."""
        return (
            f"robustness index of {self.n_units} units of {self.n_centres} centres ({self.by}), {self.k} nearest of "
            f"other patients: 1 is by class, 0 by centre, {self.chance:.3f} by chance"
        )

    def __repr__(self) -> str:
        return f"{self.caption()}\n{self.frame().round(3).to_string(index=False)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{escape(self.caption())}</p>{self.frame().round(3).to_html(index=False)}"


def robustness(
    of: PathLike | Mapping[str, PathLike],
    *,
    by: str = "centre",
    labels: PathLike | None = None,
    k: int | None = None,
    out: PathLike | None = None,
    device: str = "auto",
) -> Robustness:
    """Says of every source of features whether what lies near is of the same class or of the same centre.

    Of slides the mean of the tiles' features is taken. Writes ``robustness.csv``.

    Args:
        of: a run of ``probe`` or ``mil``, or feature files and folders by name.
        by: column of the label table that holds the centre (hospital, scanner, batch).
        labels: the label table, with that column, and ``group`` where patients are others than the run's; None: the
            run's own.
        k: neighbours; None: as many as predict the class best, the median over sources.
        out: csv to write; None: ``robustness.csv`` in the run, of features none.
        device: for embeddings that are not there yet.

    Raises:
        InputError: no such column, no run, features that are not there, or one class or centre alone.
    """
    sources, table, where = _given(of, path_of(labels), resolve_device(device))
    centres = _column(where, by, table)
    groups = table.keys if table.groups is None else table.groups
    if labels is not None and "group" in _columns_of(where):
        groups = _column(where, "group", table)
    chosen = np.arange(len(table))
    if len(chosen) > MOST_UNITS:
        chosen = np.sort(np.random.default_rng(0).choice(len(chosen), MOST_UNITS, replace=False))
    numbers = [np.unique(values[chosen], return_inverse=True)[1] for values in (table.labels, centres, groups)]
    units = Units(*numbers)
    try:
        units.check()
    except DataError as error:
        raise DataError(f"{where}, column {by}: {error}") from None
    if k is not None and not 1 <= k <= units.most_k:
        raise ConfigError(f"k={k}: wanted 1 to {units.most_k}, the units of other patients that every unit has")
    near = {
        name: [nearest(rows, units, k=k or min(units.most_k, MOST_K)) for rows in unit_rows(trials, table, chosen)]
        for name, trials in sources.items()
    }
    chosen_k = k or best_k([trial for trials in near.values() for trial in trials], units)
    rows = _rows({name: Counts.of(trials, units, k=chosen_k) for name, trials in near.items()}, units)
    for row in rows:
        row["trials"] = len(near[row["source"]])
    path = path_of(out) or (Path(of) / ROBUSTNESS_FILE if not isinstance(of, Mapping) else Path(ROBUSTNESS_FILE))
    found = Robustness(
        rows=tuple(rows), by=by, k=chosen_k, chance=units.chance(), n_units=len(chosen),
        n_centres=len(np.unique(units.centres)), path=path,
    )  # fmt: skip
    with atomic_path(path) as temporary:
        found.frame().assign(k=found.k, chance=found.chance).to_csv(temporary, index=False)
    return found


def _given(
    of: PathLike | Mapping[str, PathLike], labels: Path | None, device: str
) -> tuple[Mapping[str, Trials], LabelTable, Path]:
    """Sources, labels, and the table that has the centres."""
    if not isinstance(of, Mapping):
        results = read_results(of)
        task = getattr(results, "task", None)
        if task not in ("probe", "mil"):
            raise ConfigError(f"{of}: is no run of probe or mil; give features by name, with labels=")
        sources, table, where = sources_of_run(results.folder, task, device=device)
        return sources, table, labels or where
    if labels is None:
        raise ConfigError("labels= is needed beside feature files: a table of slide (or key), label and centre")
    found = {}
    for name, place in of.items():
        path = Path(place)
        inside = path / FEATURES_FILE
        found[name] = [(inside if inside.is_file() else path,)]
        if not path.exists():
            raise DataError(f"{path}: no such feature file or folder")
    return found, read_labels(labels), labels


def _columns_of(path: Path) -> list[str]:
    with csv_table(path, absent="no such label table") as opened:
        return opened.columns


def _column(path: Path, by: str, table: LabelTable) -> np.ndarray:
    """A column's cell of every labelled unit."""
    with csv_table(path, absent="no such label table") as opened:
        if by not in opened.columns:
            near = some(nearest_names(by, opened.columns)) or "none"
            raise ConfigError(f"by={by}: {path} has no such column; nearest: {near}; say which with by=...")
        key = key_column(path, opened.columns) or ("path" if "path" in opened.columns else None)
        if key is None:
            raise DataError(f"{path}: no column slide, key or path that says whose {by} it is")
        own = {_plain(row[key] or "", key): row[by] for _, row in opened.rows}
    found = [own.get(name, own.get(name.partition("#")[0], "")) for name in table.keys.tolist()]
    without = [name for name, centre in zip(table.keys.tolist(), found, strict=True) if not centre]
    if without:
        raise DataError(f"{path}: {len(without)} of {len(found)} have no {by} (first: {without[0]}); fill the column")
    return np.array(found)


def _plain(cell: str, column: str) -> str:
    return cell.strip() if column in ("key", "path") else slide_name(cell.strip())


def _rows(counts: Mapping[str, Counts], units: Units) -> list[dict[str, Any]]:
    draws = {name: index_draws(one, units) for name, one in counts.items()}
    names: Sequence[str] = list(counts)
    rows: list[dict[str, Any]] = []
    for name in names:
        own, first = counts[name].index, counts[names[0]].index
        low, high = ends(draws[name], units)
        row = {"source": name, "index": own, "low": low, "high": high, "ratio": counts[name].ratio}
        if name != names[0] and own is not None and first is not None:
            ends_of = ends(draws[name] - draws[names[0]], units)
            row |= {"difference": own - first, "difference_low": ends_of[0], "difference_high": ends_of[1]}
        rows.append(row)
    return rows
