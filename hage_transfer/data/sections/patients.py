"""Whose a section is: a user's `patients.csv`, and columns of spots."""

import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from hage_transfer.csv_table import csv_table, names_nobody
from hage_transfer.data.patient_words import plain_word, says_patient
from hage_transfer.errors import DataError, nearest, some
from hage_transfer.running.once import say_once

log = logging.getLogger(__name__)

_PATIENTS = ("patient", "patientid", "donorid", "donor")
PATIENTS_FILE = "patients.csv"
_LIKE_THE_FILE = re.compile(r"patients?(\.csv)?\.(csv|tsv|tab|txt|xlsx?|ods)", re.IGNORECASE)
_SHEETS = (".xls", ".xlsx", ".ods")
_HEADER_BYTES = 4096
_BETWEEN_PATIENTS = re.compile(r"[;,/|+&]| and ")


def patient_columns(names: Iterable[str]) -> list[str]:
    """Columns of ``obs`` that name the patient, whatever their capitals and separators: ``patient_id``, ``PatientID``.

    The most usual name comes first, and of several of it the one that is written so.
    """
    found = [
        (_PATIENTS.index(plain), name != plain, name) for name in names if (plain := plain_word(name)) in _PATIENTS
    ]
    return [name for *_, name in sorted(found)]


def may_name_patients(names: Iterable[str]) -> list[str]:
    """Columns of ``obs`` that may name the patient under another word, and are not read: ``subject``, ``Case_ID``."""
    return [name for name in names if says_patient(name) and plain_word(name) not in _PATIENTS]


def listed_patient(root: Path, name: str) -> str | None:
    """The patient of a section in `patients.csv` (`section,patient`) of the root; None without that file.

    Raises:
        DataError: not such a table, one of the columns twice, not one patient for the section, or one that names
            several of the table's patients; or the table is there under another name.
    """
    path = _table_of(root)
    if not path.is_file():
        _refuse_other_names(path.parent)
        return None
    with csv_table(path, absent="no such table") as table:
        table.refuse_repeated(("section", "patient"), path=path)
        if not {"section", "patient"} <= set(table.columns):
            raise DataError(f"{path}: wanted a csv with the columns section,patient and a row for each section")
        rows = [(row["section"], row["patient"]) for _, row in table.rows]
    patients = {patient for section, patient in rows if section == name}
    if len(patients) != 1 or any(map(names_nobody, patients)):
        near = "" if patients else "".join(f"; the nearest it has is {one}" for one in nearest(name, dict(rows)))
        raise DataError(
            f"{path}: section {name} has {len(patients)} patients in it ({some(sorted(patients))}), wanted one{near}"
        )
    patient = patients.pop()
    parts = {part.strip() for part in _BETWEEN_PATIENTS.split(patient)} - {""}
    both = sorted(parts & {other for _, other in rows if other != patient}) if len(parts) > 1 else []
    if both:
        raise DataError(
            f"{path}: section {name} is of {patient!r}, and {some(both)} has sections of its own; one patient would "
            "train and be held out: give a section of several patients in parts, or leave it out"
        )
    return patient


def _table_of(root: Path) -> Path:
    return (root if root.is_dir() else root.parent) / PATIENTS_FILE


def say_contradiction(root: Path, name: str, listed: str, own: Iterable[str], path: Path) -> None:
    """Warns where the file itself gives a section to other patients of `patients.csv` than that table does."""
    table_path = _table_of(root)
    with csv_table(table_path, absent="no such table") as table:
        others = {row["patient"] for _, row in table.rows} - {listed}
    for one in own:
        if one in others:
            log.warning("%s: section %s is of %s, and %s says %s, which is taken", path, name, one, table_path, listed)


@lru_cache(maxsize=1000)
def say_rows_without_section(path: Path, names: frozenset[str]) -> None:
    """Says, once, which rows of `patients.csv` name no section that is there.

    Raises:
        DataError: not such a table.
    """
    with csv_table(path, absent="no such table") as table:
        without = [row["section"] for _, row in table.rows if row.get("section") and row["section"] not in names]
    if without:
        log.info("%s: %d rows name no section that is there (%s)", path, len(without), some(without))


def _refuse_other_names(folder: Path) -> None:
    """Refuses the table of patients under a name by which it would not be read, and says where there may be one."""
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if not _LIKE_THE_FILE.fullmatch(path.name) or not path.is_file():
            continue
        if path.suffix.lower() in _SHEETS:
            table = path.parent / PATIENTS_FILE
            said = f"{path}: is not read; patients are read from {table} (section,patient)"
            say_once(log, logging.WARNING, path, said)
            continue
        header = re.split(r"[,;\t]", path.read_bytes()[:_HEADER_BYTES].decode("utf-8", "replace").partition("\n")[0])
        if {"section", "patient"} <= {word.strip('\ufeff" ').casefold() for word in header}:
            raise DataError(f"{path}: is not read by this name; save it as {PATIENTS_FILE}, with commas")


def one_name(path: Path, what: str, column: pd.Series, *, of: str) -> str | None:
    """The one name that all spots have in a column; None where no spot has any.

    Raises:
        DataError: several names, or a name at some spots and none at others.
    """
    empty = column.map(names_nobody).to_numpy(dtype=bool)
    names = column[~empty].astype(str).str.strip().unique()
    if not len(names):
        return None
    if len(names) > 1:
        raise DataError(f"{path}: {of} has spots of {len(names)} {what}s ({some(list(names))})")
    if empty.any():
        raise DataError(
            f"{path}: {of} has {what} {names[0]} and {int(np.sum(empty))} spots without a {what}; fill it in"
        )
    return str(names[0])
