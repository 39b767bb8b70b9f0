"""Slide tables: csv with a column `slide` or `slide_id`, and `mpp` where a slide's level-0 resolution must be said."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.csv_table import as_number, csv_table, is_missing
from hage_transfer.errors import DataError
from hage_transfer.slides.find import find_slide
from hage_transfer.slides.resolution import PLAUSIBLE_MPP, plausible

log = logging.getLogger(__name__)

COLUMNS = ("slide", "slide_id", "image_id")
"""Names of the column of slides, as label tables have them."""

_LIKE_MPP = frozenset({"mpp_um_per_px", "mpp_x", "slide_mpp", "slide_mpp_um_per_px", "um_per_px", "microns_per_pixel"})


@dataclass(frozen=True)
class SlideRow:
    """One slide of a table.

    Attributes:
        name: file name, with or without its ending, relative to the folder of the slides.
        mpp_um_per_px: level-0 resolution; None where the table gives none.
    """

    name: str
    mpp_um_per_px: float | None = None


def read_slide_table(path: Path) -> list[SlideRow]:
    """Reads names (`slide` or `slide_id`) and `mpp` of a table (a label table is one), in its order.

    Other columns are left.

    Raises:
        DataError: missing or unreadable, no column or both columns of names, no row, an empty or repeated name, or
            an `mpp` that is no plausible number, or is there twice.
    """
    with csv_table(path, absent="no such slide table", kind="a csv slide table") as table:
        columns = table.columns
        rows = list(table.rows)
    names = [column for column in COLUMNS if column in columns]
    names = [name for name in names if name != "image_id" or len(names) == 1 or "slide" not in names]
    if len(names) != 1:
        raise DataError(
            f"{path}: a slide table has a column {' or '.join(COLUMNS)}, one of them; "
            f"this has {', '.join(columns) or 'none'}"
        )
    if not rows:
        raise DataError(f"{path}: a slide table without rows")
    mpp = _mpp_column(path, columns)
    found: dict[str, SlideRow] = {}
    for line, row in rows:
        name = row[names[0]]
        if not name or name in found:
            raise DataError(
                f"{path}: line {line} {'repeats slide ' + name if name else 'has no slide'}; keep one row each"
            )
        found[name] = SlideRow(name, _mpp(path, line, row[mpp] if mpp else ""))
    return list(found.values())


def find_listed(root: Path, table: Path) -> list[tuple[SlideRow, Path | DataError]]:
    """Rows of a table, each with its slide under ``root`` or why there is none; errors as ``read_slide_table``."""
    found: list[tuple[SlideRow, Path | DataError]] = []
    for row in read_slide_table(table):
        try:
            found.append((row, find_slide(root, row.name)))
        except DataError as error:
            found.append((row, error))
    return found


def _mpp_column(path: Path, columns: Sequence[str]) -> str | None:
    """The column `mpp`, in whatever capitals; one that says the same in other words is named and not read."""
    there = [name for name in columns if name.casefold() == "mpp"]
    if len(there) > 1:
        raise DataError(f"{path}: columns {' and '.join(there)} both say a slide's um per px; keep one")
    like = [name for name in columns if name.casefold() in _LIKE_MPP]
    if like and not there:
        log.warning("%s: its column %s is not read; call it mpp if it is the um per px of level 0", path, like[0])
    return next(iter(there), None)


def _mpp(path: Path, line: int, text: str) -> float | None:
    if is_missing(text):
        return None
    value = as_number(text)
    if not plausible(value):
        low, high = PLAUSIBLE_MPP
        raise DataError(
            f"{path}: line {line}: mpp {text} is no level-0 resolution; wanted um per px, {low:g} to {high:g}"
        )
    return value
