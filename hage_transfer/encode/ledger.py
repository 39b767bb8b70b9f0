"""What becomes of the items of a list that a worker is at: kept, told, recorded, and what ends the work."""

import logging
import time
from dataclasses import replace
from pathlib import Path

from hage_transfer.encode.image_progress import ImageProgress
from hage_transfer.encode.item import Item, OpenItem
from hage_transfer.encode.status import Outcome, State, StatusBook
from hage_transfer.errors import DataError, InputError, reason
from hage_transfer.running.locks import holder
from hage_transfer.running.machine import shared_time

log = logging.getLogger(__name__)

_TABLE_SECONDS = 30.0


class Ledger:
    """The outcomes of a worker's items.

    Attributes:
        outcomes: by the item's name.
        error: what ends the work where no book keeps failures; None so far.
    """

    def __init__(self, book: StatusBook | None, progress: ImageProgress) -> None:
        """Takes the book of the list, where there is one, and whom to tell of what ends."""
        self.outcomes: dict[str, Outcome] = {}
        self.error: InputError | None = None
        self._book, self._progress = book, progress
        self._began = 0.0 if book is None else shared_time(book.folder)
        self._table_written = time.monotonic()

    def is_settled(self, item: Item) -> bool:
        """Whether another worker made the item's file, or failed at it, since this one began."""
        if item.path.is_file():
            self._end(Outcome(slide=item.name, status="done"))
            return True
        record = None if self._book is None else self._book.read(item.name)
        if record is not None and record.failed and record.time >= self._began:
            self._end(record)
            return True
        return False

    def settle(self, item: Item, status: State, *, why: str = "", rows: OpenItem, seconds: float | None = None) -> None:
        """Ends an item that was opened: it is done, in ``seconds``, or empty and ``why``."""
        self._settle(item, Outcome(slide=item.name, status=status, seconds=seconds, reason=why), rows)
        if status != "done" and self._book is None:
            self.error = DataError(f"{item.name}: {why}")

    def fail(self, item: Item, error: InputError | OSError, rows: OpenItem | None = None) -> None:
        """Ends an item at which ``error`` came; ``rows`` where it was opened before."""
        why = reason(error) if isinstance(error, InputError) else _of_disk(error)
        self._settle(item, Outcome(slide=item.name, status="failed", reason=why), rows)
        if self._book is None:
            self.error = error if isinstance(error, InputError) else DataError(f"{item.name}: {why}")

    def _settle(self, item: Item, outcome: Outcome, rows: OpenItem | None) -> None:
        if rows is not None:
            outcome = replace(
                outcome,
                tiles=rows.images.count,
                tissue_mm2=rows.tissue_mm2,
                mpp_um_per_px=rows.slide_mpp_um_per_px,
                mpp_source=rows.slide_mpp_source,
            )
        self._end(outcome)
        if self._book is not None:
            self._book.record(outcome)
            if outcome.status != "done":
                log.error("%s %s: %s", item.name, outcome.status, outcome.reason)

    def leave_to_holder(self, item: Item) -> None:
        """Ends an item that another worker has."""
        owner = holder(locks_of(item, self._book), item.name)
        who = "another process" if owner is None else f"process {owner.pid} on {owner.host}"
        self._end(Outcome(slide=item.name, status="running elsewhere", reason=who))
        if self._book is None:
            self.error = DataError(f"{item.path}: {who} is at work on it; wait for it, or stop it")

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.slide] = outcome
        self._progress.ended(outcome.slide)

    def write_table(self) -> None:
        """Now and then, since it reads every item's record."""
        if self._book is not None and time.monotonic() - self._table_written > _TABLE_SECONDS:
            self._book.write()
            self._table_written = time.monotonic()


def locks_of(item: Item, book: StatusBook | None) -> Path:
    """Folder of an item's lock."""
    return item.path.parent / "locks" if book is None else book.locks


def _of_disk(error: OSError) -> str:
    return f"{error.filename or 'the file'} cannot be read ({error.strerror or error})"
