"""Figures of a report for a paper: every plot as SVG with its numbers as csv, and every table as csv."""

import re
from collections.abc import Iterator
from pathlib import Path

from hage_transfer.report.cells import Number, Table
from hage_transfer.report.layout import Page, Section
from hage_transfer.report.runs import MADE_UP
from hage_transfer.running.atomic import write_csv, write_text


def write_figures(page: Page, folder: Path) -> list[Path]:
    """Writes them as ``<section>_<title>.svg`` and ``.csv``; returns the files."""
    taken: set[str] = set()
    return [path for section in page.sections for path in _of_section(section, folder, taken)]


def _of_section(section: Section, folder: Path, taken: set[str]) -> Iterator[Path]:
    for plot in section.plots:
        stem = _stem(section, plot.title, taken)
        write_text(folder / f"{stem}.svg", f'<?xml version="1.0" encoding="utf-8"?>\n{plot.svg}')
        yield folder / f"{stem}.svg"
        if plot.data is not None:
            write_text(folder / f"{stem}.csv", plot.data.to_csv(index=False))
            yield folder / f"{stem}.csv"
    for table in section.tables:
        path = folder / f"{_stem(section, table.title or 'table', taken)}.csv"
        write_csv(path, table.header, _rows(table))
        yield path


def _rows(table: Table) -> Iterator[dict[str, object]]:
    """Numbers in full; what is more than its number (a mean with its std, a verdict) as it is shown."""
    for row in table.rows:
        plain = (cell.value if isinstance(cell, Number) and _is_number(cell) else str(cell) for cell in row)
        yield dict(zip(table.header, plain, strict=True))


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?[\d.,]+", cell) is not None


def _stem(section: Section, title: str, taken: set[str]) -> str:
    words = re.findall(r"[a-z0-9]+", title.lower())
    said = re.findall(r"[a-z0-9]+", MADE_UP)
    if "-".join(said) in section.anchor:
        words = [word for word in words if word not in said]  # the name says it once
    plain = "-".join([section.anchor, *words])[:120]
    stem = next(name for n in range(1, 1000) if (name := plain if n == 1 else f"{plain}-{n}") not in taken)
    taken.add(stem)
    return stem
