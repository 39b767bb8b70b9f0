"""Records, the flat rows of every result, and their summary over folds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

MEAN, STD = "mean", "std"
"""Folds of a record that is over all folds."""
FINAL = "final"
"""The fold that keeps nothing back (a model trained on every row), and the folder of its models."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One number: which task, feature source or method, split, fold and trial it belongs to.

    Attributes:
        task: ``pretrain``, ``probe`` or ``mil``.
        source: named feature source, or the method of a gene table (``hage``, ``ridge``, ...).
        split: the part it was measured on, ``test`` or ``validation``.
        fold: fold name (the held-out unit, or a number as text); ``mean`` or ``std`` in a summary row.
        trial: 0, 1, ...; None where there are no trials or all are averaged.
        metric: ``pcc_all``, ``accuracy``, ...
        value: the number; None where it is not defined (JSON has no NaN).
        section: test section of a gene table's per-section row; None elsewhere.
        role: ``control`` where the source is one, which no claim is made of; None elsewhere.
    """

    task: str
    source: str
    split: str
    fold: str
    trial: int | None
    metric: str
    value: float | None
    section: str | None = None
    role: str | None = None


def read_record(tree: Mapping[str, Any]) -> Record:
    """A record of ``results.json``; NaN, which is no JSON but is written by others, is an undefined value.

    Raises:
        TypeError: a key is missing or one too many.
        ValueError: a value of another kind.
    """
    record = Record(**tree)
    for name in ("task", "source", "split", "fold", "metric"):
        if not isinstance(getattr(record, name), str):
            raise ValueError(f"{name} {getattr(record, name)!r} of a record is no text")
    if record.trial is not None and type(record.trial) is not int:
        raise ValueError(f"trial {record.trial!r} of {record.source}, {record.metric} is no whole number")
    if record.value is None:
        return record
    if isinstance(record.value, bool) or not isinstance(record.value, int | float):
        raise ValueError(f"value {record.value!r} of {record.source}, {record.metric} is no number")
    return replace(record, value=finite(record.value))


def finite(value: float) -> float | None:
    """The number, or None where it is NaN or infinite (an undefined metric)."""
    return float(value) if math.isfinite(value) else None


def summarise(records: Sequence[Record]) -> list[Record]:
    """Mean and std (ddof = 1) over folds of each (task, source, split, trial, metric).

    Undefined values are left out; a single fold has no std. Per-section rows are not summarised: the caller makes
    the fold's own row from them first, so that nothing is pooled unseen.
    """
    groups: dict[Record, list[float]] = {}
    for record in records:
        if record.section is None and record.fold not in (MEAN, STD) and record.value is not None:
            groups.setdefault(replace(record, fold=MEAN, value=None), []).append(record.value)
    rows: list[Record] = []
    for row, values in groups.items():
        rows.append(replace(row, value=mean(values)))  # to the last digit as in tables
        if (std := spread(values)) is not None:
            rows.append(replace(row, fold=STD, value=std))
    return rows


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation (ddof 1); None of fewer than two values."""
    return stdev(values) if len(values) > 1 else None


def mean_of_defined(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there and are numbers; None where there is none."""
    defined = [value for value in values if value is not None and not math.isnan(value)]
    return sum(defined) / len(defined) if defined else None


def mean_and_std(values: Sequence[float]) -> str:
    """As "mean ± std" (ddof 1) with three decimals; the mean alone of one value, empty of none."""
    if not values:
        return ""
    return value_and_std(mean(values), spread(values))


def value_and_std(value: float | None, std: float | None) -> str:
    """The same of what is known already."""
    return "" if value is None else f"{value:z.3f}" + ("" if std is None else f" ± {std:.3f}")
