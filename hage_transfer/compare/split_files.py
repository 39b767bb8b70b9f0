"""Split files in CLAM's form (`splits_<i>.csv`: index, train, val, test): read, and checked against a label table."""

import logging
import re
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from hage_transfer.csv_table import csv_table
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError, SplitError, some
from hage_transfer.slide_names import slide_name

log = logging.getLogger(__name__)

SIDES = ("train", "val", "test")
_NAME = re.compile(r"(?:splits|.*split)_(.+?)\.csv")
_FLOAT = re.compile(r"\d+\.0")
_ANSWERS = frozenset({"true", "false"})
_NOT_SPLITS = ("_bool", "_descriptor")


@dataclass(frozen=True)
class SplitFile:
    """One fold or draw: slides of each side, in the file's order.

    Attributes:
        path: of the file.
        name: what stands between `splits_` and `.csv`.
        sides: train, val, test to names of slides, without the endings of their files.
        of_two_sides: whether it has train and val alone, as SurvPath's: val is then what is tested.
    """

    path: Path
    name: str
    sides: dict[str, tuple[str, ...]]
    of_two_sides: bool = False

    def of_slides(self, labels: LabelTable) -> "SplitFile":
        """The same by slides, where it names groups (patients).

        Raises:
            SplitError: a group is named on two sides.
        """
        if labels.groups is None or set(labels.keys.tolist()) & set().union(*map(set, self.sides.values())):
            return self
        shared = _shared({side: set(names) for side, names in self.sides.items()})
        for (one, other), names in shared.items():
            raise SplitError(
                f"{self.path}: {len(names)} groups (patients) are in both {one} and {other} ({some(names, 3)}); keep "
                "each on one side"
            )
        slides: dict[str, list[str]] = {}
        for key, group in zip(labels.keys.tolist(), labels.groups.tolist(), strict=True):
            slides.setdefault(group, []).append(key)
        sides = {side: tuple(s for n in names for s in slides.get(n, [n])) for side, names in self.sides.items()}
        return replace(self, sides=sides)


@dataclass(frozen=True)
class SplitSurvey:
    """What a split file holds, measured by a label table.

    Attributes:
        unknown: slides of each side that the table does not have.
        shared_slides: slides on two sides, by the pair of sides.
        shared_groups: groups (patients) on two sides, by the pair of sides; of known slides.
        shared_sites: likewise sites; empty where the table has none.
        counts: known slides of each class on each side.
        unused: labelled slides on no side.
    """

    unknown: dict[str, list[str]]
    shared_slides: dict[tuple[str, str], list[str]]
    shared_groups: dict[tuple[str, str], list[str]]
    shared_sites: dict[tuple[str, str], list[str]]
    counts: dict[str, dict[str, int]]
    unused: list[str]


def read_split_files(folder: Path, *, labels: LabelTable | None = None) -> list[SplitFile]:
    """All split files of a folder, in natural order; CLAM's tables of booleans and counts beside them are left.

    Args:
        folder: of `splits_<i>.csv` (train, val, test), or `<name>_split_<i>.csv` (train, val: what is tested).
        labels: table of the slides, by which files that name patients become files of slides.

    Raises:
        SplitError: a patient on two sides.
        DataError: no such folder, no split file in it, one without its columns, or that names a slide twice on a side.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of split files (splits_<i>.csv)")
    found = [(match[1], path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    found = [(name, path) for name, path in found if not name.endswith(_NOT_SPLITS)]
    if not found:
        left = sorted(path.name for path in folder.glob("*_bool.csv"))
        beside = f"; {left[0]}, of true and false, is not read" if left else ""
        raise DataError(
            f"{folder}: holds no split file; wanted splits_<i>.csv with the columns train, val, test{beside}"
        )
    files = [_read(path, name) for name, path in sorted(found, key=lambda one: (len(one[0]), one[0]))]
    _tell_odd(folder, files)
    return files if labels is None else [file.of_slides(labels) for file in files]


def _tell_odd(folder: Path, files: list[SplitFile]) -> None:
    """Numbers that are left out, as where a fold's file was not copied, and files that are one split twice."""
    numbers = {int(file.name) for file in files if file.name.isdecimal()}
    n_gone = max(numbers, default=0) - min(numbers, default=1) + 1 - len(numbers)
    if 0 < n_gone < len(numbers) == len(files):  # else they are seeds or years
        gone = sorted(set(range(min(numbers), max(numbers))) - numbers)
        log.warning("%s: holds no split %s between its others; is a file missing?", folder, some(gone, 3))
    first: dict[str, str] = {}
    for file in files:
        same = first.setdefault(repr([sorted(names) for names in file.sides.values()]), file.name)
        if same != file.name:
            log.warning("%s: splits %s and %s are the same, and count as two", folder, same, file.name)


def survey_split(split: SplitFile, labels: LabelTable) -> SplitSurvey:
    """Compares a split file with a label table."""
    rows = {key: row for row, key in enumerate(labels.keys.tolist())}
    known = {side: np.array([rows[n] for n in names if n in rows], dtype=int) for side, names in split.sides.items()}
    used = set().union(*split.sides.values())
    return SplitSurvey(
        unknown={side: [name for name in names if name not in rows] for side, names in split.sides.items()},
        shared_slides=_shared({side: set(names) for side, names in split.sides.items()}),
        shared_groups=_shared_values(known, labels.groups),
        shared_sites=_shared_values(known, labels.sites),
        counts={
            side: {name: int((labels.labels[some] == name).sum()) for name in labels.classes}
            for side, some in known.items()
        },
        unused=[key for key in rows if key not in used],
    )


def _read(path: Path, name: str) -> SplitFile:
    with csv_table(path, absent="no such split file") as table:
        of_two = "test" not in table.columns and path.name.removeprefix("splits_") == path.name
        missing = [side for side in SIDES if side not in table.columns and not (of_two and side == "test")]
        if missing:
            raise DataError(
                f"{path}: no column {', '.join(missing)}, only {', '.join(filter(None, table.columns))}; a split file "
                "has the columns train, val, test"
            )
        table.refuse_repeated(SIDES, path=path)
        sides: dict[str, list[str]] = {side: [] for side in SIDES}
        for line, row in table.rows:
            if {row[side].casefold() for side in SIDES if side in row} <= _ANSWERS:
                raise DataError(
                    f"{path}: line {line} holds {row['train']} where slides are named: CLAM's form of true and false; "
                    "give its splits_<i>.csv of names"
                )
            for side in SIDES[:2] if of_two else SIDES:
                slide = slide_name(row[side])
                if slide and slide in sides[side]:
                    raise DataError(f"{path}: line {line} names slide {slide} a second time in {side}")
                if slide:
                    sides[side].append(slide)
    found = {side: _not_floats(names) for side, names in sides.items()}
    return SplitFile(
        path, name, {"train": found["train"], "val": (), "test": found["val"]} if of_two else found, of_two
    )


def _not_floats(slides: list[str]) -> tuple[str, ...]:
    """Slide numbers as they were before pandas made floats of them, as it does in a column that ends early."""
    is_float = all(_FLOAT.fullmatch(slide) for slide in slides)
    return tuple(slide.removesuffix(".0") if is_float else slide for slide in slides)


def _shared_values(known: dict[str, np.ndarray], values: np.ndarray | None) -> dict[tuple[str, str], list[str]]:
    if values is None:
        return {}
    return _shared({side: set(values[rows].tolist()) for side, rows in known.items()})


def _shared(sides: dict[str, set[str]]) -> dict[tuple[str, str], list[str]]:
    pairs = {(one, other): sorted(sides[one] & sides[other]) for one, other in combinations(sides, 2)}
    return {pair: names for pair, names in pairs.items() if names}
