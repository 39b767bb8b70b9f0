"""Which rows train, which are tested: folds of our own, or the split that was published with the set."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from hage_transfer.compare.splits import check_disjoint, table_folds
from hage_transfer.csv_table import csv_table
from hage_transfer.data.labels import LabelTable
from hage_transfer.data.published_table import PARTS
from hage_transfer.errors import DataError, SplitError, some
from hage_transfer.probes.config import ProbeSplitSettings

OFFICIAL = "official"


@dataclass(frozen=True)
class ProbeFold:
    """Rows of one fold's sides, ascending; ``validation`` is empty but for an official split."""

    name: str
    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]
    test: Int[np.ndarray, " test"]


def probe_folds(split: ProbeSplitSettings, labels: LabelTable) -> list[ProbeFold]:
    """Folds of the patches, the same for every source.

    Raises:
        SplitError: folds by group without groups, folds that the labels cannot fill, an official split that is not
            there, lacks a class or has a group on two sides (the groups are named).
        DataError: a table of parts that is not one.
    """
    if split.mode == "official":
        return [_official(split, labels)]
    none = np.array([], dtype=np.int64)
    folds = table_folds(labels, n_folds=split.folds, by_group=split.by_group, seed=split.seed, repeats=split.repeats)
    return [ProbeFold(fold.name, fold.train, none, fold.test) for fold in folds]


def masks(folds: Sequence[ProbeFold], n_rows: int) -> tuple[Bool[np.ndarray, "fold row"], Bool[np.ndarray, "fold row"]]:
    """Where each fold trains, and where it is wanted (validation and test)."""
    training, wanted = np.zeros((2, len(folds), n_rows), dtype=bool)
    for number, fold in enumerate(folds):
        training[number, fold.train] = True
        wanted[number, fold.validation] = True
        wanted[number, fold.test] = True
    return training, wanted


def _official(split: ProbeSplitSettings, labels: LabelTable) -> ProbeFold:
    if split.by_group and labels.groups is None:
        raise SplitError(
            "split.by_group is true but the labels have no groups, so the official split cannot be checked for leaks; "
            "give a group to each key, or set split.by_group=false"
        )
    parts = _parts_of_keys(labels) if split.parts is None else _parts_of_table(split.parts, labels)
    rows = {part: np.flatnonzero(parts == part) for part in ("train", "valid", "test")}
    for part in ("train", "test"):
        absent = labels.absent(rows[part])
        if absent:
            raise SplitError(f"the official {part} part has no row of class {', '.join(absent)}")
    if split.by_group and labels.groups is not None:
        check_disjoint(rows, labels.groups)
    return ProbeFold(OFFICIAL, rows["train"], rows["valid"], rows["test"])


def _parts_of_keys(labels: LabelTable) -> np.ndarray:
    found = [PARTS.get(key.partition("/")[0].lower()) for key in labels.keys.tolist()]
    if None in found:
        key = labels.keys[found.index(None)]
        raise SplitError(
            f"split.mode official: key {key} does not begin with train/, valid/ or test/; give split.parts, a csv "
            "`key,part`, or use split.mode=folds"
        )
    return np.array(found)


def _parts_of_table(path: Path, labels: LabelTable) -> np.ndarray:
    of_names = read_parts(path)
    names = [(posixpath.normpath(key), posixpath.normpath(key.partition("#")[0])) for key in labels.keys.tolist()]
    parts = [of_names.get(key, of_names.get(image)) for key, image in names]  # a tile is where its image is
    missing = [key for key, part in zip(labels.keys.tolist(), parts, strict=True) if part is None]
    if missing:
        raise DataError(f"{path}: no part for {len(missing)} of {len(labels)} labelled keys ({some(missing, 3)})")
    return np.array(parts)


def read_parts(path: Path) -> dict[str, str]:
    """Part of each key of a table of parts.

    Raises:
        DataError: not such a table, another part, or a key with two.
    """
    parts: dict[str, str] = {}
    with csv_table(path, absent="no such table (split.parts)") as table:
        columns = table.columns
        key_column = next((name for name in ("key", "path") if name in columns), None)
        if key_column is None or "part" not in columns:
            raise DataError(
                f"{path}: a table of parts has the columns key (or path) and part, this has {', '.join(columns)}"
            )
        table.refuse_repeated((key_column, "part"), path=path)
        for line, row in table.rows:
            part = PARTS.get(row["part"].lower())
            if part is None:
                raise DataError(f"{path}: line {line}: part is train, valid or test, not {row['part']}")
            key = posixpath.normpath(row[key_column])
            if parts.setdefault(key, part) != part:
                raise DataError(
                    f"{path}: line {line}: {key} is in part {part} here and in {parts[key]} above; keep one"
                )
    return parts
