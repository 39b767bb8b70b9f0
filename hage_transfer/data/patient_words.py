"""By which words a column says that it names patients, in a table of labels and in one of spots."""

import re

_PATIENT = re.compile(
    "(patient|donor|subject|individual|case|participant)(submitter)?((uu|u)?id|identifier|name|no|nr|number|code|barcode)?"
    "|bcrpatientbarcode"
)


def plain_word(column: str | None) -> str:
    """A column's name without capitals and separators.

    >>> plain_word("Patient_ID")
    'patientid'
    """
    return re.sub(r"[^a-z0-9]", "", (column or "").lower())


def says_patient(column: str | None) -> bool:
    """Whether a column's name means a patient: ``donor_id``, ``Case Submitter ID``; not ``donor_age``.

    >>> [says_patient(column) for column in ("PatientID", "donor_age")]
    [True, False]
    """
    return _PATIENT.fullmatch(plain_word(column)) is not None
