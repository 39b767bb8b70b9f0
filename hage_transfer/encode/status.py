"""What became of every item of a list: ``status/<item>.json`` by whoever did it, ``status.csv`` and ``failures.csv``.

Several workers may share the list: each writes the records of its own items, and any of them writes the tables.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from hage_transfer.bounded import read_json
from hage_transfer.running.atomic import TEMPORARY_MARK, write_csv, write_json
from hage_transfer.running.failures import FAILURES_FILE, write_failures
from hage_transfer.running.locks import Lock, holder, leave, wait_for_lock
from hage_transfer.running.machine import shared_time

STATUS_FILE = "status.csv"
_RECORDS, _LOCKS = "status", "locks"
_MARK_LENGTH = len(TEMPORARY_MARK) + 13  # twelve digits and a hyphen

State = Literal["done", "failed", "empty", "running elsewhere", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one item.

    Attributes:
        slide: the item's name.
        status: ``empty`` is a slide without tissue or tiles; ``waiting`` one that no worker has begun.
        tiles: rows of its feature file.
        tissue_mm2: area of tissue; None where it is not known.
        seconds: that it kept the worker that finished it.
        mpp_um_per_px: resolution of level 0; None where it is not known.
        mpp_source: where that is from, in words.
        reason: why it failed or is empty, or who holds it.
        time: seconds since 1970 at its end, by the clock of the file system.
    """

    slide: str
    status: State
    tiles: int | None = None
    tissue_mm2: float | None = None
    seconds: float | None = None
    mpp_um_per_px: float | None = None
    mpp_source: str = ""
    reason: str = ""
    time: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether it has no feature file that it should have."""
        return self.status in ("failed", "empty")


_COLUMNS = [field.name for field in fields(Outcome) if field.name != "time"]


@dataclass(frozen=True)
class StatusBook:
    """The records and tables of a list in ``folder``.

    Attributes:
        folder: of the tables.
        items: name and feature file of each, in the order of the tables.
    """

    folder: Path
    items: tuple[tuple[str, Path], ...]

    @property
    def locks(self) -> Path:
        """Folder of the workers' locks."""
        return self.folder / _LOCKS

    def table_lock(self, table: str) -> Lock:
        """The lock on a table or file that workers share, as soon as it is free; no item's own lock has a slash."""
        return wait_for_lock(self.locks, f"/{table}")

    def record_path(self, name: str) -> Path:
        """Where an item's record is."""
        return self.folder / _RECORDS / f"{name}.json"

    def record(self, outcome: Outcome) -> None:
        """Writes an item's record; the caller holds its lock."""
        write_json(self.record_path(outcome.slide), asdict(outcome) | {"time": shared_time(self.folder)})

    def read(self, name: str) -> Outcome | None:
        """An item's record, or None."""
        try:
            return Outcome(**read_json(self.record_path(name)))
        except (OSError, ValueError, TypeError):
            return None

    def outcomes(self) -> list[Outcome]:
        """What is known of each item, by its record, its file and its lock."""
        return [self._outcome(name, path) for name, path in self.items]

    def write(self) -> list[Outcome]:
        """Writes both tables from the records of all workers, and returns what they say."""
        with self.table_lock(STATUS_FILE):  # else an older table might come after a newer one
            for table in (STATUS_FILE, FAILURES_FILE):
                remove_leftovers(self.folder / table)
            found = self.outcomes()
            rows = [{name: _cell(value) for name, value in asdict(one).items() if name != "time"} for one in found]
            write_csv(self.folder / STATUS_FILE, _COLUMNS, rows)
            failed = {one.slide: one.reason for one in found if one.failed}
            write_failures(self.folder, failed)
        leave(self.locks)
        return found

    def _outcome(self, name: str, path: Path) -> Outcome:
        record = self.read(name)
        if path.is_file():
            return record if record is not None and record.status == "done" else Outcome(slide=name, status="done")
        owner = holder(self.locks, name)
        if owner is not None:
            return Outcome(slide=name, status="running elsewhere", reason=f"process {owner.pid} on {owner.host}")
        if record is not None and record.failed:
            return record
        return Outcome(slide=name, status="waiting")


def remove_leftovers(*paths: Path) -> None:
    """Removes what killed writers of these very files left beside them; the caller holds the lock on them."""
    for folder in {path.parent for path in paths}:
        names = {path.name for path in paths if path.parent == folder}
        for entry in folder.glob(f"{TEMPORARY_MARK}*"):
            if entry.name[_MARK_LENGTH:] in names:
                entry.unlink(missing_ok=True)


def _cell(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value
