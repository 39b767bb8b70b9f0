"""Values of a target from its table: read, checked line by line, and joined to the rows of a label table."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hage_transfer.config import PatchSetSettings
from hage_transfer.csv_table import as_number, csv_table, is_missing
from hage_transfer.data.labels import GROUP_COLUMNS, KEY_COLUMNS, LabelTable, key_column, read_labels
from hage_transfer.data.patch_set import image_key, image_of
from hage_transfer.errors import ConfigError, DataError, nearest, some
from hage_transfer.slide_names import slide_name
from hage_transfer.targets.base import Target
from hage_transfer.targets.settings import (
    ClassSettings,
    MultiLabelSettings,
    OrdinalSettings,
    SurvivalSettings,
    TargetSettings,
    ValueSettings,
)
from hage_transfer.targets.strata import EVENT, make_target, strata
from hage_transfer.targets.survival_metrics import check_installed

log = logging.getLogger(__name__)

_FLAGS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "true": 1.0, "false": 0.0}
_MOST_CLASSES = 10
PATH = "path"
"""Column of a manifest of patches."""
Row = tuple[float, ...]


def read_target(
    path: Path, settings: TargetSettings, *, images: PatchSetSettings | None = None
) -> tuple[LabelTable, Target | None]:
    """A label table with what a config wants of it: classes, or the values of a target.

    Args:
        path: of the table.
        settings: kind and columns.
        images: the set that its rows are made of; None: slides, or what is encoded already.

    Raises:
        DataError: as ``read_labels`` and ``with_target``.
        ConfigError: classes that are measurements; scikit-survival is missing.
    """
    if not isinstance(settings, ClassSettings):
        return with_target(read_labels(path, labels_needed=False), settings, path, images=images)
    labels = read_labels(path)
    refuse_numbers(labels, path)
    return labels, None


def with_target(
    labels: LabelTable, settings: ValueSettings, path: Path, *, images: PatchSetSettings | None = None
) -> tuple[LabelTable, Target]:
    """A label table with values in place of classes, and the target that they are of.

    Args:
        labels: of slides or patches; their own labels are left.
        settings: kind and columns.
        path: the label table itself, where ``settings.table`` names no other, nor ``images`` a manifest.
        images: the set that the rows are made of.

    Raises:
        DataError: no such table or column; a row without a value, or with one that is none (its line is named); a
            group with several values of survival; all censored; all values equal.
        ConfigError: scikit-survival is missing.
    """
    path = settings.table or (images.manifest if images is not None else None) or path
    labels, values = read_values(labels, settings, path, images=images)
    target, values = make_target(settings, values, path)
    is_censored = settings.kind == "survival" and bool((values[:, 1] == 0).any())
    labels = replace(labels, values=values, needed=(EVENT,) if is_censored else ())
    if settings.kind == "survival":
        one_value_a_group(labels, path)
    return replace(labels, labels=strata(labels, target, path)), target


def read_values(
    labels: LabelTable, settings: ValueSettings, path: Path, *, images: PatchSetSettings | None = None
) -> tuple[LabelTable, Float[np.ndarray, "row value"]]:
    """Rows that have a value, and what the cells say; errors as ``with_target``."""
    if isinstance(settings, SurvivalSettings):
        check_installed()
        _tell_event(settings)
    columns, read = _columns(settings)
    found = _read(path, columns, read, labels, images, may_miss=settings.missing == "drop")
    rows = np.flatnonzero([one is not None for one in found])
    if len(rows) < len(labels):
        log.warning("%s: %d of %d rows have no value and are left out", path, len(labels) - len(rows), len(labels))
        labels = labels.take(rows)
    if not len(rows):
        raise DataError(f"{path}: no row has a value in {', '.join(columns)}; look at target.* and the table")
    return labels, np.array([one for one in found if one is not None], dtype=np.float64)


def value_columns(settings: ValueSettings) -> list[str]:
    """Columns of a table that a target's values are read from."""
    return _columns(settings)[0]


def refuse_numbers(labels: LabelTable, where: Path | str) -> None:
    """Refuses labels that are measurements where classes are wanted.

    Raises:
        ConfigError: they are.
    """
    numbers = [as_number(name) for name in labels.classes]
    if len(numbers) <= _MOST_CLASSES or any(number is None for number in numbers):
        return
    if any(number != int(number) for number in numbers if number is not None) or len(labels) < 5 * len(numbers):
        raise ConfigError(
            f"{where}: its labels are {len(numbers)} different numbers (first: {labels.labels[0]}), which are no "
            "classes; a number: `target.kind: regression`?"
        )


def _columns(settings: ValueSettings) -> tuple[list[str], Callable[[Mapping[str, str]], Row]]:
    """Columns that are read, and what makes values of their cells."""
    if isinstance(settings, SurvivalSettings):
        flag, seen = settings.censored or settings.event or "event", settings.censored is None
        return [settings.time, flag], lambda row: (
            _time(settings.time, row[settings.time]),
            _flag(flag, row[flag]) if seen else 1 - _flag(flag, row[flag]),
        )
    if isinstance(settings, MultiLabelSettings):
        may_miss = settings.missing == "allow"
        return list(settings.columns), lambda row: tuple(
            np.nan if may_miss and is_missing(row[name]) else _flag(name, row[name]) for name in settings.columns
        )
    if isinstance(settings, OrdinalSettings) and settings.order:
        return [settings.column], lambda row: (_grade(settings, row[settings.column]),)
    return [settings.column], lambda row: (_number(settings.column, row[settings.column]),)


def _tell_event(settings: SurvivalSettings) -> None:
    """A column that is called for those who are censored is mostly 1 for them: read as events, it turns risks round."""
    if settings.event is not None and settings.event.casefold().startswith("censor"):
        log.warning(
            "target.event: column %s is read as 1 where the event was seen; if it is 1 for those who are censored, say "
            "target.censored instead",
            settings.event,
        )


def _read(
    path: Path,
    columns: Sequence[str],
    read: Callable[[Mapping[str, str]], Row],
    labels: LabelTable,
    images: PatchSetSettings | None,
    *,
    may_miss: bool,
) -> list[Row | None]:
    """Values of every row of ``labels``; None where they may be missing and are."""
    values: dict[str, Row | None] = {}
    with csv_table(path, absent="no such table of values (target.table)", zipped=path.suffix == ".zip") as table:
        by = _key_column(path, table.columns, columns, is_manifest=images is not None and path == images.manifest)
        table.refuse_repeated([by, *columns], path=path)
        names, named = _names(labels, by, path), _naming(labels, by, Path() if images is None else images.root)
        wanted = set(names)
        for line, row in table.rows:
            key = named(row[by])
            if key in wanted:
                value = _value(path, line, row, columns, read, may_miss=may_miss)
                if not _same(values.setdefault(key, value), value):
                    raise DataError(f"{path}: line {line}: {by} {key} has another value above; keep one")
    missing = [name for name in dict.fromkeys(names) if name not in values]
    if missing and not may_miss:
        raise DataError(
            f"{path}: no row for {len(missing)} of {len(wanted)} {by}s of the labels ({some(missing, 3)}); add them, "
            "or set target.missing=drop to leave them out"
        )
    return [values.get(name) for name in names]


def _key_column(path: Path, there: Sequence[str], columns: Sequence[str], *, is_manifest: bool) -> str:
    for name in columns:
        if name not in there:
            near = nearest(name, filter(None, there))
            raise DataError(f"{path}: no column {name} (nearest: {some(near)}); name the column under target")
    if is_manifest and PATH in there:
        return PATH
    others = (PATH, *GROUP_COLUMNS)
    by = key_column(path, there) or next((name for name in others if name in there), None)
    if by is None:
        raise DataError(f"{path}: no column of keys; wanted one of {', '.join((*KEY_COLUMNS, *others))}")
    return by


def _names(labels: LabelTable, by: str, path: Path) -> list[str]:
    if by in KEY_COLUMNS:
        return list(labels.keys.tolist())
    if by == PATH:  # a tile has what its image has, and a bag of tiles is named by it
        return [image_of(key) for key in labels.keys.tolist()]
    if labels.groups is None:
        raise DataError(f"{path}: its values are by {by}, and the labels have no groups; give them a column group")
    return list(labels.groups.tolist())


def _naming(labels: LabelTable, by: str, root: Path) -> Callable[[str], str]:
    """By what name of ``_names`` a cell is known."""
    if by == PATH and labels.key_column == "key":
        return lambda cell: image_key(root, root / cell)
    if by == PATH:
        return lambda cell: slide_name(Path(cell).stem)
    return slide_name if by in KEY_COLUMNS and by != "key" else str


def _same(one: Row | None, other: Row | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other, equal_nan=True)


def _value(
    path: Path,
    line: int,
    row: Mapping[str, str],
    columns: Sequence[str],
    read: Callable[[Mapping[str, str]], Row],
    *,
    may_miss: bool,
) -> Row | None:
    cells = {name: row[name] for name in columns}
    if may_miss and any(is_missing(cell) for cell in cells.values()):
        return None
    try:
        return read(cells)
    except ValueError as error:
        remedy = "; fill it, or set target.missing=drop" if any(map(is_missing, cells.values())) else "; correct it"
        raise DataError(f"{path}: line {line}: {error}{remedy}") from None


def _number(name: str, cell: str) -> float:
    value = as_number(cell)
    if value is None:
        raise ValueError(f"{name} {cell!r} is no number")
    return value


def _time(name: str, cell: str) -> float:
    value = _number(name, cell)
    if value < 0:
        raise ValueError(f"{name} {cell} is negative, and times count from the start of follow-up")
    return value


def _flag(name: str, cell: str) -> float:
    value = _FLAGS.get(cell.casefold())
    if value is None:
        raise ValueError(f"{name} {cell!r} is none of 0, 1, True, False")
    return value


def _grade(settings: OrdinalSettings, cell: str) -> float:
    if cell not in settings.order:
        raise ValueError(f"{settings.column} {cell!r} is no grade of target.order ({', '.join(settings.order)})")
    return float(settings.order.index(cell))


def one_value_a_group(labels: LabelTable, path: Path) -> None:
    """Raises DataError where a group has several values."""
    if labels.groups is None or labels.values is None:
        return
    seen: dict[str, tuple[float, ...]] = {}
    for group, row in zip(labels.groups.tolist(), labels.values.tolist(), strict=True):
        if seen.setdefault(group, tuple(row)) != tuple(row):
            raise DataError(
                f"{path}: group (patient) {group} has time and event {seen[group]} and {tuple(row)}; a patient has one "
                "survival, so give all its rows the same"
            )
