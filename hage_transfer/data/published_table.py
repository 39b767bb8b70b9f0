"""Manifests and label tables from published ones: any csv that names image or slide, class and patient.

SkinCancer (heiDATA doi:10.11588/data/7QCR8S; Kriegsmann et al. 2022): 129,364 tiles of 386 patients in 16 classes. Its
table `tiles-v2.csv` has, among others, the columns ``file`` (the tile's path), ``class``
(``tumor_skin_epithelial_bcc``, ...), ``case`` (the patient) and ``set`` (Train, Validation, Test). CLAM's tables of
TCGA are of slide, class and patient.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.csv_table import csv_table, is_missing, refuse_in_place, refuse_missing
from hage_transfer.data.label_patients import refuse_nobody
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_csv
from hage_transfer.slide_names import slide_name

PARTS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}
"""Names of a published split's parts to ours; any case."""
TCGA_BARCODE = re.compile(r"TCGA-([A-Z0-9]{2})-[A-Z0-9]{4}(-|$)")
TCGA, NO_LABEL = "tcga", "without a label"
_FILL, _NAME = "fill it, or leave the row out", "give each a name of its own, or leave the row out"


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


def write_manifest(table: Path, out: Path, columns: Mapping[str, str]) -> int:
    """Writes a manifest csv that layout ``manifest`` reads; its ``part`` serves `split.parts`.

    Args:
        table: published csv.
        out: manifest to write.
        columns: the manifest's columns (``path``, ``label``, ``group``, ``part``) to the table's.

    Returns:
        How many rows were written.

    Raises:
        DataError: the table is missing, not csv, lacks a column, has an empty cell, names an image twice or an unknown
            part, or is ``out`` itself; ``out`` is a folder.
    """
    refuse_in_place(out, table)
    rows: dict[str, dict[str, str]] = {}
    for line, found in _rows(table, columns, options="path_column=, label_column=, group_column=, part_column="):
        refuse_missing(table, line, {columns[name]: value for name, value in found.items()})
        refuse_nobody(table, line, columns.get("group", ""), found.get("group", ""), remedy=_NAME)
        if found.get("part", "train").lower() not in PARTS:
            raise DataError(f"{table}: line {line}: {columns['part']} is train, valid or test, not {found['part']}")
        if found["path"] in rows:
            raise DataError(f"{table}: {found['path']} is listed twice; keep one row")
        rows[found["path"]] = found
    if not rows:
        raise DataError(f"{table}: a table without rows")
    write_csv(out, list(columns), rows.values())
    return len(rows)


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
    refuse_in_place(out, table)
    wanted = {name: column for name, column in vars(columns).items() if column not in (None, TCGA)}
    counts: Counter[str] = Counter()
    labels: dict[str, str] = {}
    rows: list[dict[str, str]] = []
    for line, found in _rows(table, wanted, options="slide=, label=, group=, site=", zipped=True):
        found["slide"], label = slide_name(found["slide"]), found["label"]
        slide = found["slide"]
        if is_missing(label) and (keep or drop_empty):
            counts[NO_LABEL] += 1
            continue
        remedy = "fill it, or leave rows without a class out with drop_empty=True or keep="
        cells = {wanted[name]: value for name, value in found.items()}
        refuse_missing(table, line, cells, remedy=remedy if is_missing(label) else _FILL)
        refuse_nobody(table, line, columns.group or "", found.get("group", ""), remedy=_NAME)
        if columns.site == TCGA:
            found["site"] = tcga_site(slide)
        counts[label] += 1
        if labels.get(slide, label) != label:
            raise DataError(f"{table}: slide {slide} is {labels[slide]} and, in line {line}, {label}; keep one")
        if slide in labels:
            raise DataError(f"{table}: slide {slide} is listed twice (line {line})")
        labels[slide] = label
        rows += [found] if not keep or label in keep else []
    absent = [name for name in keep if name not in counts]
    if absent or not rows:
        what = f"of class {', '.join(absent)}" if absent else "with a label"
        raise DataError(f"{table}: no slide {what}; the classes are {', '.join(sorted(counts)) or 'none'}")
    write_csv(out, list(rows[0]), rows)
    return dict(counts)


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


def _rows(
    table: Path, wanted: Mapping[str, str], *, options: str, zipped: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells of each row, under our names; ``options`` name the columns, for the message."""
    kind = "csv, or as a zip of one" if zipped else "csv"
    with csv_table(table, absent="no such table", kind=kind, zipped=zipped) as opened:
        missing = [column for column in wanted.values() if column not in opened.columns]
        if missing:
            there = ", ".join(filter(None, opened.columns)) or "none"
            raise DataError(f"{table}: no column {', '.join(missing)}, only {there}; name the columns with {options}")
        opened.refuse_repeated(wanted.values(), path=table)
        for line, row in opened.rows:
            yield line, {name: row[column] for name, column in wanted.items()}
