"""What failed of a list of items: ``failures.csv``, and how the list ends."""

import csv
from collections.abc import Mapping
from pathlib import Path

from hage_transfer.errors import HageError, ItemsFailedError, reason
from hage_transfer.running.atomic import write_csv

FAILURES_FILE = "failures.csv"
_COLUMNS = ("item", "reason")


def write_failures(folder: Path, failures: Mapping[str, str]) -> None:
    """Writes ``failures.csv`` (item, reason) into ``folder``; removes it where nothing failed."""
    path = folder / FAILURES_FILE
    if failures:
        write_csv(path, _COLUMNS, [{"item": item, "reason": why} for item, why in failures.items()])
    else:
        path.unlink(missing_ok=True)


def read_failures(folder: Path) -> dict[str, str]:
    """Reason by item of a folder's ``failures.csv``; empty where nothing failed."""
    if not (folder / FAILURES_FILE).is_file():
        return {}
    with (folder / FAILURES_FILE).open(newline="", encoding="utf-8") as handle:
        return {row.get("item") or "?": row.get("reason") or "" for row in csv.DictReader(handle)}


def end_items(
    failures: Mapping[str, HageError],
    *,
    total: int,
    what: str,
    folder: Path,
    done: object = None,
    written: bool = False,
) -> None:
    """Ends a list: ``failures.csv`` says what failed, an error how far the list came.

    A list of which nothing could be done is the fault of what was given: its first error is raised as it is. Nothing is
    written then where ``folder`` is not there.

    Args:
        failures: by item.
        total: items of the list.
        what: the items are, in the plural.
        folder: of ``failures.csv``.
        done: what came of the others; an error that says that some failed carries it.
        written: ``failures.csv`` is there with a table of all items, since workers share them: a list of which nothing
            could be done then ends as any other.

    Raises:
        HageError: the first failure, where every item failed and nothing was ``written``.
        ItemsFailedError: some failed.
    """
    if not written and (folder.is_dir() or 0 < len(failures) < total):
        write_failures(folder, {item: reason(error) for item, error in failures.items()})
    if not failures:
        return
    name, first = next(iter(failures.items()))
    if len(failures) == total and not written:
        if total > 1:
            first.add_note(f"none of {total} {what} could be done; {name} is the first")
        elif name not in reason(first):
            first.add_note(f"while at work on {name}")
        raise first
    raise ItemsFailedError(
        f"{len(failures)} of {total} {what} failed, see {folder / FAILURES_FILE}; the rest are done "
        f"(the first, {name}: {reason(first)})",
        done=done,
    )
