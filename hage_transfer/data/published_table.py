"""Manifests from published tables: SkinCancer's `tiles-v2.csv`, or any csv that names image, class and patient.

SkinCancer (heiDATA doi:10.11588/data/7QCR8S; Kriegsmann et al. 2022): 129,364 tiles of 386 patients in 16 classes. Its
table has, among others, the columns ``file`` (the tile's path), ``class`` (``tumor_skin_epithelial_bcc``, ...),
``case`` (the patient) and ``set`` (Train, Validation, Test).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hage_transfer.csv_table import csv_table, refuse_in_place, refuse_missing
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_csv

PARTS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}
"""Names of a published split's parts to ours; any case."""


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
    rows = list(_rows(table, columns))
    if not rows:
        raise DataError(f"{table}: a table without rows")
    seen: set[str] = set()
    for row in rows:
        if row["path"] in seen:
            raise DataError(f"{table}: {row['path']} is listed twice; keep one row")
        seen.add(row["path"])
    write_csv(out, list(columns), rows)
    return len(rows)


def _rows(table: Path, columns: Mapping[str, str]) -> Iterator[dict[str, str]]:
    with csv_table(table, absent="no such table") as opened:
        there = opened.columns
        missing = [column for column in columns.values() if column not in there]
        if missing:
            raise DataError(
                f"{table}: no column {', '.join(missing)}, only {', '.join(there) or 'none'}; name the columns "
                "with path_column=, label_column=, group_column=, part_column="
            )
        opened.refuse_repeated(columns.values(), path=table)
        for line, row in opened.rows:
            found = {name: (row[column] or "").strip() for name, column in columns.items()}
            refuse_missing(table, line, {columns[name]: value for name, value in found.items()})
            if found.get("part", "train").lower() not in PARTS:
                raise DataError(f"{table}: line {line}: {columns['part']} is train, valid or test, not {found['part']}")
            yield found
