"""Label tables from published ones, such as CLAM's of TCGA: any csv of slide, class and patient; or a zip of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.csv_table import CsvTable, csv_table, is_missing, refuse_in_place, refuse_missing
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_csv
from hage_transfer.slide_names import slide_name

TCGA_BARCODE = re.compile(r"TCGA-([A-Z0-9]{2})-[A-Z0-9]{4}(-|$)")
TCGA = "tcga"
NO_LABEL = "without a label"


@dataclass(frozen=True)
class Columns:
    """Columns of a published table.

    Attributes:
        slide: name or file name of the slide.
        label: its class.
        group: its patient; None: not there.
        site: where it was made; ``tcga``: the second field of the slide's barcode; None: not there.
    """

    slide: str
    label: str
    group: str | None = None
    site: str | None = None


def write_label_table(
    table: Path, out: Path, columns: Columns, *, keep: Sequence[str] = (), drop_empty: bool = False
) -> dict[str, int]:
    """Writes `slide,label[,group][,site]`.

    Args:
        table: published csv, or a zip of one.
        out: label table to write.
        columns: of the published table.
        keep: classes to keep; empty: all.
        drop_empty: leave out rows without a label, as ``keep`` does; False: such a row is an error.

    Returns:
        Rows of each class of the published table, those that were left out among them, and of ``NO_LABEL``.

    Raises:
        DataError: the table is missing, not csv, lacks a column, has an empty cell, names a slide twice, or has no row
            of a class to keep; a slide without a TCGA barcode where its site is to be read from it.
    """
    wanted = {name: column for name, column in vars(columns).items() if column is not None}
    counts: dict[str, int] = {}
    rows: dict[str, dict[str, str]] = {}
    labels: dict[str, str] = {}
    refuse_in_place(out, table)
    with csv_table(table, absent="no such table", kind="csv, or as a zip of one", zipped=True) as opened:
        _check_columns(table, opened, wanted)
        for line, row in opened.rows:
            label = (row.get(columns.label) or "").strip()
            if is_missing(label) and (keep or drop_empty):
                counts[NO_LABEL] = counts.get(NO_LABEL, 0) + 1
                continue
            found = _row(table, line, row, wanted)
            counts[found["label"]] = counts.get(found["label"], 0) + 1
            other = labels.setdefault(found["slide"], found["label"])
            if other != found["label"]:
                raise DataError(
                    f"{table}: slide {found['slide']} is {other} and, in line {line}, {found['label']}; keep one"
                )
            if found["slide"] in rows:
                raise DataError(f"{table}: slide {found['slide']} is listed twice (line {line})")
            if not keep or found["label"] in keep:
                rows[found["slide"]] = found
    absent = [name for name in keep if name not in counts]
    if absent or not rows:
        what = f"of class {', '.join(absent)}" if absent else "with a label"
        raise DataError(f"{table}: no slide {what}; the classes are {', '.join(sorted(counts)) or 'none'}")
    write_csv(out, list(wanted), rows.values())
    return counts


def tcga_site(slide: str) -> str:
    """Tissue source site of a TCGA slide: the second field of its barcode.

    Raises:
        DataError: the name is no TCGA barcode.

    >>> tcga_site("TCGA-3C-AALI-01Z-00-DX1.F6E9A5DF")
    '3C'
    """
    match = TCGA_BARCODE.match(slide)
    if match is None:
        raise DataError(
            f"slide {slide} has no TCGA barcode (TCGA-<site>-<patient>-...), so its site is not known; give the label "
            "table a column site"
        )
    return match[1]


def _check_columns(path: Path, opened: CsvTable, wanted: Mapping[str, str]) -> None:
    there = opened.columns
    asked = [column for name, column in wanted.items() if not (name == "site" and column == TCGA)]
    missing = [column for column in asked if column not in there]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}, only {', '.join(filter(None, there)) or 'none'}; name the "
            "columns with slide=, label=, group=, site="
        )
    opened.refuse_repeated(asked, path=path)


def _row(path: Path, line: int, row: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    found = {name: (row.get(column) or "").strip() for name, column in wanted.items()}
    found["slide"] = slide_name(found["slide"])
    if wanted.get("site") == TCGA and not is_missing(found["slide"]):
        found["site"] = tcga_site(found["slide"])
    cells = {wanted[name]: value for name, value in found.items()}
    remedy = "fill it, or leave rows without a class out with drop_empty=True or keep="
    refuse_missing(path, line, cells, remedy=remedy if is_missing(found["label"]) else "fill it, or leave the row out")
    return found
