"""Label tables: csv `key,label[,group][,site]` of patches, `slide,label[,group][,site]` of slides.

Published tables are read as they are where their columns have other names of these: ``target`` for label, ``slide_id``
(CLAM, SurvPath) or ``image_id`` (PANDA) for slide, ``case_id`` for group.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.csv_table import csv_table, refuse_missing
from hage_transfer.data.label_patients import patient_column, refuse_nobody, tell_alike, tell_patients
from hage_transfer.errors import ConfigError, DataError, SplitError
from hage_transfer.slide_names import slide_name

log = logging.getLogger(__name__)

LABELS_FILE = "labels.csv"
"""Name of the table that encoding writes."""
KEY_COLUMNS = ("key", "slide", "slide_id", "image_id")
"""What names a row; the first two are ours, the others published tables'."""
LABEL_COLUMNS = ("label", "target")
GROUP_COLUMNS = ("group", "case_id")
SITE_COLUMN = "site"
_REMEDY = "leave the row out (`make_labels(drop_empty=True)` does), or give it a name that is meant"


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """Labelled rows in the file's order; keys are unique.

    Attributes:
        keys: patch ids or slide names.
        labels: class names, as text.
        groups: what must stay on one side of a split (a patient, a slide); None where the table has none.
        key_column: ``key`` or ``slide``, what a row is.
        sites: where each was made (a hospital); None where the table does not say.
        values: of a target that is no class; ``labels`` are then what folds are stratified by.
        needed: labels that both sides of a published split must hold; None: all.
        patient_column: of the table, which is not read and whose name says patients; "": there is none.
    """

    keys: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    key_column: str = "key"
    sites: np.ndarray | None = None
    values: np.ndarray | None = None
    needed: tuple[str, ...] | None = None
    patient_column: str = ""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order: the order of every class axis."""
        return tuple(sorted(set(self.labels.tolist())))

    def absent(self, rows: np.ndarray) -> list[str]:
        """Labels that some rows lack and need."""
        return sorted(set(self.classes if self.needed is None else self.needed) - set(self.labels[rows].tolist()))

    def take(self, rows: np.ndarray) -> "LabelTable":
        """Some rows, in their order."""
        parts = {name: getattr(self, name) for name in ("keys", "labels", "groups", "sites", "values")}
        return replace(self, **{name: part[rows] for name, part in parts.items() if part is not None})

    def known_groups(self) -> np.ndarray:
        """The groups, where a split wants them (``split.by_group``).

        Raises:
            SplitError: the table has none; a column that may be meant is named.
        """
        if self.groups is None:
            offer = f" (its column {self.patient_column}? call it group)" if self.patient_column else ""
            raise SplitError(
                f"split.by_group is true but the labels have no groups; give a group (patient, slide) to each "
                f"{self.key_column}{offer}, or set split.by_group=false if rows are independent"
            )
        return self.groups

    @property
    def class_indices(self) -> np.ndarray:
        """Each row's class as its place in ``classes``."""
        return np.searchsorted(np.array(self.classes), self.labels).astype(np.int64)

    @property
    def group_indices(self) -> np.ndarray | None:
        """Each row's group as a number; None where the table has no groups."""
        return None if self.groups is None else np.unique(self.groups, return_inverse=True)[1]

    def meta(self, *, positive: int | None) -> dict[str, Any]:
        """What results say of their labels: classes, which is positive, how many rows of each, how many groups."""
        sizes = {"rows": len(self), "groups": 0 if self.groups is None else len(set(self.groups.tolist()))}
        counts = {name: int((self.labels == name).sum()) for name in self.classes}
        if self.values is not None:
            return {"strata": counts, **sizes}
        called = None if positive is None else self.classes[positive]
        return {"classes": list(self.classes), "positive": called, "class_counts": counts, **sizes}


def read_labels(path: Path, *, labels_needed: bool = True) -> LabelTable:
    """Reads a label table.

    A group may hold several labels (two slides of one patient may differ); a key may not.

    Args:
        path: of the table.
        labels_needed: False: of keys, groups and sites alone; the labels are empty.

    Raises:
        DataError: missing or unreadable file, a missing column, no row, an empty key or label, a key listed twice
            (with the labels where they differ), groups or sites given for some rows only, a column that is there
            twice.
    """
    with csv_table(
        path, absent="no such label table; `encode_*` writes one, or give its path", kind="a csv label table"
    ) as table:
        columns = table.columns
        table.refuse_repeated(filter(None, columns), path=path)
        rows = list(table.rows)
    key, label, group = (
        key_column(path, columns),
        *(_first(names, columns) for names in (LABEL_COLUMNS, GROUP_COLUMNS)),
    )
    label = label if labels_needed else ""
    if key is None or label is None:
        raise DataError(
            f"{path}: a label table has the columns key (or slide), label (or target) and optionally group; "
            f"this has {', '.join(columns) or 'none'}; `make_labels` writes one from any csv"
        )
    if not rows:
        raise DataError(f"{path}: a label table without rows")
    if label and set(LABEL_COLUMNS) <= set(columns):
        log.warning("%s: has columns %s; %s is read", path, " and ".join(LABEL_COLUMNS), label)
    is_slide = key != "key"
    labels: dict[str, str] = {}
    others: dict[str, list[str]] = {"group": [], "site": []}
    named = {"group": group, "site": SITE_COLUMN if SITE_COLUMN in columns else None}
    for line, row in rows:
        name, label_name = row[key], row[label] if label else ""
        refuse_missing(path, line, {key: name, **({label: label_name} if label else {})}, remedy=_REMEDY)
        name = slide_name(name) if is_slide else name
        if name in labels:
            detail = "" if labels[name] == label_name else f", as {labels[name]} and as {label_name}"
            raise DataError(f"{path}: {key} {name} is listed twice{detail} (line {line}); keep one row")
        labels[name] = label_name
        for what, column in named.items():
            others[what].append("" if column is None else _filled(path, line, column, row))
    keys = np.array(list(labels))
    tell_patients(path, columns, (row for _, row in rows), list(labels) if is_slide else [], group)
    tell_alike(path, "labels", filter(None, labels.values()), "classes of their own")
    tell_alike(path, "groups", filter(None, others["group"]), "patients of their own, whom folds may divide")
    return LabelTable(
        keys=keys,
        labels=np.array(list(labels.values())),
        groups=_all_or_none(path, keys, others["group"], "group"),
        key_column="slide" if is_slide else "key",
        sites=_all_or_none(path, keys, others["site"], "site"),
        patient_column="" if group else patient_column(columns),
    )


def map_labels(table: LabelTable, mapping: Mapping[str, str]) -> LabelTable:
    """The table with coarser classes: each label takes the class of the pattern that it matches.

    Args:
        table: as read.
        mapping: shell patterns of whole labels (``tumor_*``) to classes; empty leaves the labels as they are.

    Raises:
        ConfigError: a label that no pattern matches, or that patterns of two classes match; a pattern that matches
            no label.
    """
    if not mapping:
        return table
    classes = {}
    for name in table.classes:
        found = {mapping[pattern] for pattern in mapping if fnmatchcase(name, pattern)}
        if len(found) != 1:
            what = "no pattern matches it" if not found else f"patterns give it {' and '.join(sorted(found))}"
            raise ConfigError(f"label_map: label {name}: {what}; each label takes one class")
        classes[name] = found.pop()
    idle = [pattern for pattern in mapping if not any(fnmatchcase(name, pattern) for name in table.classes)]
    if idle:
        raise ConfigError(f"label_map.{idle[0]}: matches no label; the labels are {', '.join(table.classes)}")
    return replace(table, labels=np.array([classes[name] for name in table.labels.tolist()]))


def key_column(path: Path, columns: Sequence[str]) -> str | None:
    """The column that names a table's rows; None where it has none.

    Raises:
        DataError: no column of ours, and several of published tables.
    """
    there = [name for name in KEY_COLUMNS if name in columns]
    if len(there) > 1 and there[0] not in ("key", "slide"):
        raise DataError(
            f"{path}: columns {' and '.join(there)} may both name the slides; give the one that is meant the name slide"
        )
    return there[0] if there else None


def _first(names: Sequence[str], columns: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _filled(path: Path, line: int, column: str, row: Mapping[str, str]) -> str:
    """A cell that may be empty, but names somebody where it is not: strangers would be one patient."""
    cell = row[column]
    if cell:
        refuse_missing(path, line, {column: cell}, remedy=_REMEDY)
        if column in GROUP_COLUMNS:
            refuse_nobody(path, line, column, cell, remedy=_REMEDY)
    return cell


def _all_or_none(path: Path, keys: np.ndarray, values: Sequence[str], what: str) -> np.ndarray | None:
    """A column that every row fills, or none does."""
    without = list(values).count("")
    if 0 < without < len(values):
        first = keys[list(values).index("")]
        raise DataError(
            f"{path}: {without} of {len(values)} rows have no {what} (first: {first}); give every row one, or none"
        )
    return None if without else np.array(values)
