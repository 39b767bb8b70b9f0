"""Label tables: csv `key,label[,group]` of patches, `slide,label[,group]` of slides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.csv_table import csv_table
from hage_transfer.errors import ConfigError, DataError

KEY_COLUMNS = ("key", "slide")


@dataclass(frozen=True)
class LabelTable:
    """Labelled rows in the file's order; keys are unique.

    Attributes:
        keys: patch ids or slide names.
        labels: class names, as text.
        groups: what must stay on one side of a split (a patient, a slide); None where the table has none.
        key_column: ``key`` or ``slide``, what a row is.
    """

    keys: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    key_column: str = "key"

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order: the order of every class axis."""
        return tuple(sorted(set(self.labels.tolist())))

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
        return {
            "classes": list(self.classes),
            "positive": None if positive is None else self.classes[positive],
            "class_counts": {name: int((self.labels == name).sum()) for name in self.classes},
            "rows": len(self),
            "groups": 0 if self.groups is None else len(set(self.groups.tolist())),
        }


def read_labels(path: Path) -> LabelTable:
    """Reads a label table.

    A group may hold several labels (two slides of one patient may differ); a key may not.

    Raises:
        DataError: missing or unreadable file, a missing column, no row, an empty key or label, a key listed twice
            (with the labels where they differ), groups given for some rows only.
    """
    with csv_table(
        path, absent="no such label table; `hage encode` writes one, or give its path", kind="a csv label table"
    ) as table:
        columns = table.columns
        rows = list(table.rows)
    key_column = next((name for name in KEY_COLUMNS if name in columns), None)
    if key_column is None or "label" not in columns:
        raise DataError(
            f"{path}: a label table has the columns key (or slide), label and optionally group; "
            f"this has {', '.join(columns) or 'none'}"
        )
    if not rows:
        raise DataError(f"{path}: a label table without rows")
    return _table(path, rows, key_column=key_column, has_group="group" in columns)


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


def _table(path: Path, rows: Sequence[tuple[int, dict[str, str]]], *, key_column: str, has_group: bool) -> LabelTable:
    labels: dict[str, str] = {}
    groups: list[str] = []
    for line, row in rows:
        key, label = row[key_column].strip(), row["label"].strip()
        if not key or not label:
            raise DataError(f"{path}: line {line} has no {key_column if not key else 'label'}")
        if key in labels:
            detail = "" if labels[key] == label else f", as {labels[key]} and as {label}"
            raise DataError(f"{path}: {key_column} {key} is listed twice{detail} (line {line}); keep one row")
        labels[key] = label
        groups.append((row["group"] or "").strip() if has_group else "")
    without = groups.count("")
    if 0 < without < len(groups):
        first = list(labels)[groups.index("")]
        raise DataError(
            f"{path}: {without} of {len(groups)} rows have no group (first: {first}); give every row one, or none"
        )
    return LabelTable(
        keys=np.array(list(labels)),
        labels=np.array(list(labels.values())),
        groups=None if without else np.array(groups),
        key_column=key_column,
    )
