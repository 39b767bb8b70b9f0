"""What is odd about names in a label table: patients whom folds would divide, strangers as one, one spelt twice."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hage_transfer.csv_table import alike, names_nobody
from hage_transfer.data.patient_words import plain_word, says_patient
from hage_transfer.errors import DataError, some
from hage_transfer.slide_names import tcga_patient

log = logging.getLogger(__name__)

_FLAGS = frozenset({"", "0", "1", "yes", "no", "y", "n", "true", "false", "case", "control"})
"""What a column called `case` holds where it tells cases from controls."""


def patient_column(columns: Sequence[str]) -> str:
    """The first column whose name means a patient; "" without one.

    >>> patient_column(["slide", "Patient ID"])
    'Patient ID'
    """
    return next(filter(says_patient, columns), "")


def refuse_nobody(path: Path, line: int, column: str, cell: str, *, remedy: str) -> None:
    """Refuses a patient's name that says that nobody knows who it is: strangers would be one patient.

    Raises:
        DataError: see above.
    """
    if cell and names_nobody(cell):
        raise DataError(f"{path}: line {line}: {column} {cell!r} would make one patient of strangers; {remedy}")


def tell_patients(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]], slides: Sequence[str], group: str | None
) -> None:
    """Warns of patients who are in several groups, or of whom several rows are independent, as far as a table says.

    Args:
        path: of the table.
        columns: of it.
        rows: its cells.
        slides: name of the slide of each row; empty where rows are no slides.
        group: the column of groups; None: there is none.
    """
    rows = list(rows)
    cases = [name for name in columns if plain_word(name) == "case"]
    flags = [name for name in cases if {row[name].casefold() for row in rows} <= _FLAGS]
    column = patient_column([name for name in columns if name not in (group, *flags)])
    patients = [row[column] for row in rows] if column else [tcga_patient(slide) or slide for slide in slides]
    patients = [f"row {number}" if names_nobody(one) else one for number, one in enumerate(patients)]
    if group is not None:
        _tell_divided(path, patients, [row[group] for row in rows], f"column {column}" if column else "its barcodes")
    elif (n_patients := len(set(patients))) < len(patients):
        who = f"its column {column} names" if column else "the barcodes of its slides name"
        why = "and is not read" if column else "and it has no group"
        remedy = "call it group" if column else "give it a column group of them"
        log.warning(
            "%s: %s %d patients of %d rows %s, so rows of one patient count as independent; %s, and set "
            "split.by_group=true, to keep them together",
            path,
            who,
            n_patients,
            len(patients),
            why,
            remedy,
        )


def tell_alike(path: Path, what: str, names: Iterable[str], are: str) -> None:
    """Warns of names that are probably one, see ``alike``; ``are`` says what they count as."""
    pairs = alike(names)
    if pairs:
        log.warning(
            "%s: %s differ only in case, separators or zeros, and are %s; spell them alike if they are one",
            path,
            some([f"{what} {one} and {other}" for one, other in pairs]),
            are,
        )


def _tell_divided(path: Path, patients: Sequence[str], groups: Sequence[str], said_by: str) -> None:
    first: dict[str, str] = {}
    pairs = zip(patients, groups, strict=False)
    divided = {one: own for one, own in pairs if first.setdefault(one, own) != own}
    if divided:
        one, own = next(iter(divided.items()))
        log.warning(
            "%s: %d patients by %s are in several groups (first: %s, in %s and %s), so folds by group may divide them; "
            "make the patient the group",
            path,
            len(divided),
            said_by,
            one,
            first[one],
            own,
        )
