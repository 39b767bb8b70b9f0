"""Whose a section is: a user's `patients.csv`, and columns of spots."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from hage_transfer.csv_table import csv_table, names_nobody
from hage_transfer.errors import DataError, some

_PATIENTS = ("patient", "patientid", "donorid", "donor")
_LIKE_PATIENTS = re.compile(
    r"(patient|donor|subject|individual|case|participant)(submitter)?(id|name|no|nr|number|code|barcode)?"
    "|bcrpatientbarcode"
)
PATIENTS_FILE = "patients.csv"


def patient_columns(names: Iterable[str]) -> list[str]:
    """Columns of ``obs`` that name the patient, whatever their capitals and separators: ``patient_id``, ``PatientID``.

    The most usual name comes first, and of several of it the one that is written so.
    """
    found = [(_PATIENTS.index(plain), name != plain, name) for name in names if (plain := _plain(name)) in _PATIENTS]
    return [name for *_, name in sorted(found)]


def may_name_patients(names: Iterable[str]) -> list[str]:
    """Columns of ``obs`` that may name the patient under another word, and are not read: ``subject``, ``Case_ID``."""
    return [name for name in names if _LIKE_PATIENTS.fullmatch(_plain(name)) and _plain(name) not in _PATIENTS]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def listed_patient(root: Path, name: str) -> str | None:
    """The patient of a section in `patients.csv` (`section,patient`) of the root; None without that file.

    Raises:
        DataError: not such a table, one of the columns twice, or not one patient for the section.
    """
    path = (root if root.is_dir() else root.parent) / PATIENTS_FILE
    if not path.is_file():
        return None
    with csv_table(path, absent="no such table") as table:
        table.refuse_repeated(("section", "patient"), path=path)
        if not {"section", "patient"} <= set(table.columns):
            raise DataError(f"{path}: wanted a csv with the columns section,patient and a row for each section")
        patients = {row["patient"] for _, row in table.rows if row["section"] == name}
    if len(patients) != 1 or any(map(names_nobody, patients)):
        raise DataError(
            f"{path}: section {name} has {len(patients)} patients in it ({some(sorted(patients))}), wanted one"
        )
    return patients.pop()


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
