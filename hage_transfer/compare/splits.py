"""Folds of a classifier: stratified, by group, with a refusal where a group or a missing class would spoil one."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import Int
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import SplitError, some
from hage_transfer.running.atomic import atomic_path

ATTEMPTS = 100


@dataclass(frozen=True)
class Fold:
    """Rows (positions in the label table, ascending) of one fold's two sides."""

    name: str
    train: Int[np.ndarray, " train"]
    test: Int[np.ndarray, " test"]


def classification_folds(labels: np.ndarray, groups: np.ndarray | None, *, n_folds: int, seed: int) -> list[Fold]:
    """Stratified folds; every row is in exactly one test part, and both parts of every fold hold every class.

    Groups are kept whole. A group may hold several classes. By groups, the shuffle that ``seed`` names may leave a
    part without a class; shuffles that follow from the same seed are then tried in order, up to ``ATTEMPTS``.

    Args:
        labels: class of each row.
        groups: what must stay on one side; None: rows are independent.
        n_folds: at least 2.
        seed: of the shuffle.

    Raises:
        SplitError: one class only; a class with fewer rows, or in fewer groups, than there are folds; no shuffle
            gives every part every class.
    """
    _check_fillable(labels, groups, n_folds)
    fault = ""
    for attempt_seed in _seeds(seed):
        folds = [
            Fold(str(number), train, test)
            for number, (train, test) in enumerate(_split(labels, groups, n_folds, attempt_seed))
        ]
        fault = next(filter(None, (_missing_class(labels, fold) for fold in folds)), "")
        if not fault:
            break
    else:
        raise SplitError(f"{fault} in every one of {ATTEMPTS} shuffles; fewer folds (split.folds) would fit the groups")
    if groups is not None:
        for fold in folds:
            check_disjoint({"train": fold.train, "test": fold.test}, groups)
    return folds


def table_folds(labels: LabelTable, *, n_folds: int, by_group: bool, seed: int, repeats: int = 1) -> list[Fold]:
    """The folds of a label table; see ``classification_folds``.

    Repeated, they are drawn anew with a seed of their own and numbered on: fold n belongs to repeat n // ``n_folds``,
    and the first repeat's folds are those that there would be alone.

    Raises:
        SplitError: as ``classification_folds``; or folds by group of a table that has no groups.
    """
    groups = labels.known_groups() if by_group else None
    return repeated_folds(labels.labels, groups, n_folds=n_folds, seed=seed, repeats=repeats)


def repeated_folds(
    labels: np.ndarray, groups: np.ndarray | None, *, n_folds: int, seed: int, repeats: int
) -> list[Fold]:
    """``classification_folds`` as often as ``repeats``, numbered on; errors likewise."""
    seeds = [seed, *(int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0]) for repeat in range(1, repeats))]
    found = [fold for own in seeds for fold in classification_folds(labels, groups, n_folds=n_folds, seed=own)]
    return [replace(fold, name=str(number)) for number, fold in enumerate(found)]


def train_validation(
    labels: np.ndarray, groups: np.ndarray | None, *, share: float, seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """Divides a training part into training and validation rows (positions in ``labels``, ascending).

    Each class gives ``share`` of its rows, at least one. Groups are kept whole, and the share is then met as nearly
    as they allow.

    Raises:
        SplitError: a class has too few rows, or is in too few groups, to be on both sides.
    """
    if groups is None:
        return _stratified_share(labels, share=share, seed=seed)
    _check_dividable(labels, groups)
    most = min(len(np.unique(groups)), int(np.unique(labels, return_counts=True)[1].max()))
    coarse = share > 1 / 3  # then some of ten parts are joined, since no single one is so large
    n_folds = min(10 if coarse else max(round(1 / share), 2), most)
    joined = min(max(round(share * n_folds), 1), n_folds - 1) if coarse else 1
    for attempt_seed in _seeds(seed):
        fits = [
            fold
            for fold in _joined(_split(labels, groups, n_folds, attempt_seed), joined, n_rows=len(labels))
            if not _missing_class(labels, fold)
        ]
        if fits:
            best = min(fits, key=lambda fold: abs(len(fold.test) / len(labels) - share))
            check_disjoint({"train": best.train, "validation": best.test}, groups)
            return best.train, best.test
    raise SplitError(
        f"no division of {len(np.unique(groups))} groups puts every class into training and validation; "
        "train without validation (train.validation=0)"
    )


def _joined(parts: Iterator[tuple[np.ndarray, np.ndarray]], number: int, *, n_rows: int) -> Iterator[Fold]:
    """Folds whose test rows are those of ``number`` parts that follow one another."""
    tests = [test for _, test in parts]
    for first in range(len(tests)):
        chosen = np.sort(np.concatenate([tests[(first + k) % len(tests)] for k in range(number)]))
        yield Fold("", np.setdiff1d(np.arange(n_rows), chosen), chosen)


def check_disjoint(parts: Mapping[str, np.ndarray], groups: np.ndarray) -> None:
    """Refuses a group that is on two sides.

    Args:
        parts: name of a side (train, validation, test) to its rows.
        groups: group of every row.

    Raises:
        SplitError: names the sides and the groups.
    """
    for (one, first), (other, second) in combinations(parts.items(), 2):
        shared = np.intersect1d(groups[first], groups[second])
        if len(shared):
            raise SplitError(
                f"{len(shared)} groups are in both {one} and {other}: {some(shared.tolist())}; keep each on one side"
            )


def write_split(path: Path, *, train: Sequence[str], validation: Sequence[str], test: Sequence[str]) -> None:
    """Writes one fold in CLAM's csv form (`splits_<i>.csv`): an index, then columns train, val, test of names."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["", "train", "val", "test"])
        for number, names in enumerate(zip_longest(train, validation, test, fillvalue="")):
            writer.writerow([number, *names])


def _check_fillable(labels: np.ndarray, groups: np.ndarray | None, n_folds: int) -> None:
    _check_classes(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if groups is None:
        least = int(counts.argmin())
        if counts[least] < n_folds:
            raise SplitError(
                f"{n_folds} folds need {n_folds} rows of every class, {classes[least]} has {counts[least]}; "
                f"at most {counts[least]} folds (split.folds)"
            )
        return
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise SplitError(f"{n_folds} folds need {n_folds} groups, there are {n_groups}; set split.folds to {n_groups}")
    for name in classes:
        holding = len(np.unique(groups[labels == name]))
        if holding < n_folds:
            fewer = f"at most {holding} folds (split.folds)" if holding > 1 else "no number of folds will do"
            raise SplitError(
                f"class {name} is in {holding} of {n_groups} groups, so {n_folds} parts cannot each hold it; "
                f"{fewer}, or split.by_group=false if rows of a group are independent"
            )


def _check_classes(labels: np.ndarray) -> None:
    classes = np.unique(labels)
    if len(classes) < 2:
        raise SplitError(f"a classifier needs two classes, all {len(labels)} rows are of class {', '.join(classes)}")


def _check_dividable(labels: np.ndarray, groups: np.ndarray) -> None:
    """Refuses a training part with a class that cannot be on both of its sides."""
    _check_classes(labels)
    for name in np.unique(labels):
        if len(np.unique(groups[labels == name])) < 2:
            raise SplitError(
                f"class {name} has one group to train on, which cannot be in training and validation; "
                "train without validation (train.validation=0)"
            )


def _seeds(seed: int) -> Iterator[int]:
    yield seed
    yield from map(int, np.random.SeedSequence(seed).generate_state(ATTEMPTS - 1))


def _split(
    labels: np.ndarray, groups: np.ndarray | None, n_folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rows = np.zeros(len(labels))
    if groups is None:
        return StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, labels)
    return StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(rows, labels, groups)


def _missing_class(labels: np.ndarray, fold: Fold) -> str:
    for side, rows in (("training", fold.train), ("test", fold.test)):
        missing = np.setdiff1d(labels, labels[rows])
        if len(missing):
            return f"the {side} part of fold {fold.name} has no row of class {', '.join(missing)}"
    return ""


def _stratified_share(
    labels: np.ndarray, *, share: float, seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    generator = np.random.default_rng(seed)
    validation = []
    for name in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == name))
        if len(rows) < 2:
            raise SplitError(
                f"class {name} has one row to train on, which cannot be in training and validation; "
                "train without validation (train.validation=0)"
            )
        validation.append(rows[: min(max(round(share * len(rows)), 1), len(rows) - 1)])
    chosen = np.sort(np.concatenate(validation))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
