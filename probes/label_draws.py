"""Draws of few labels from a fold's training rows, for learning curves; the same for every source."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import ConfigError
from hage_transfer.probes.config import LearningCurveSettings
from hage_transfer.probes.folds import ProbeFold

ALL = "all"


@dataclass(frozen=True)
class LabelDraw:
    """Rows that one head trains on.

    Attributes:
        amount: how much was wanted: `all`, `10%` of the fold's training rows, `5 a class`.
        number: which draw of that amount.
        fold: place of the fold.
        rows: of the fold's training rows, ascending.
    """

    amount: str
    number: int
    fold: int
    rows: Int[np.ndarray, " row"]


def label_draws(settings: LearningCurveSettings, folds: Sequence[ProbeFold], labels: LabelTable) -> list[LabelDraw]:
    """All labels of every fold first, then each share's draws.

    ``unit`` group: groups are taken in random order until the share of rows is reached, and a class that is still
    missing brings the next group that has it: few patients, all their rows. ``unit`` row: each class gives the share
    of its rows, at least one. Without groups the rows are drawn. ``per_class``: so many rows of each class.

    Raises:
        ConfigError: a class has fewer training rows in a fold than ``per_class`` asks for.
    """
    draws = [LabelDraw(ALL, 0, place, fold.train) for place, fold in enumerate(folds)]
    wanted: list[tuple[str, int, float]] = [(f"{100 * one:.6g}%", round(one * 1e6), one) for one in settings.shares]
    wanted += [(f"{n} a class", 1_000_000 + n, n) for n in settings.per_class]
    for amount, name, size in wanted:
        for number in range(settings.draws):
            for place, fold in enumerate(folds):
                generator = np.random.default_rng([settings.seed, name, number, place])
                if isinstance(size, int):
                    chosen = _draw_of_each(labels, fold, n=size, generator=generator)
                else:
                    chosen = _draw(settings.unit, labels, fold.train, share=size, generator=generator)
                draws.append(LabelDraw(amount, number, place, chosen))
    return draws


def draw_masks(draws: Sequence[LabelDraw], n_rows: int) -> Bool[np.ndarray, "head row"]:
    """Where each draw's head trains."""
    training = np.zeros((len(draws), n_rows), dtype=bool)
    for number, draw in enumerate(draws):
        training[number, draw.rows] = True
    return training


def _draw(
    unit: str, labels: LabelTable, rows: Int[np.ndarray, " row"], *, share: float, generator: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    if unit == "row" or labels.groups is None:
        return _draw_rows(labels.class_indices, rows, share=share, generator=generator)
    return _draw_groups(labels.class_indices, labels.groups, rows, share=share, generator=generator)


def _draw_of_each(
    labels: LabelTable, fold: ProbeFold, *, n: int, generator: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    classes, chosen = labels.class_indices[fold.train], []
    for name in np.unique(classes):
        own = fold.train[classes == name]
        if len(own) < n:
            raise ConfigError(
                f"learning_curve.per_class {n}: fold {fold.name} trains on {len(own)} rows of class "
                f"{labels.classes[name]}; ask for fewer"
            )
        chosen.append(generator.permutation(own)[:n])
    return np.sort(np.concatenate(chosen))


def _draw_rows(
    classes: np.ndarray, rows: np.ndarray, *, share: float, generator: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    chosen = []
    for name in np.unique(classes[rows]):
        own = generator.permutation(rows[classes[rows] == name])
        chosen.append(own[: max(round(share * len(own)), 1)])
    return np.sort(np.concatenate(chosen))


def _draw_groups(
    classes: np.ndarray, groups: np.ndarray, rows: np.ndarray, *, share: float, generator: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    names, inverse = np.unique(groups[rows], return_inverse=True)
    counts = np.zeros((len(names), int(classes.max()) + 1), dtype=np.int64)
    np.add.at(counts, (inverse, classes[rows]), 1)
    wanted = max(round(share * len(rows)), 1)
    chosen = np.zeros(len(names), dtype=bool)
    order = generator.permutation(len(names))
    for group in order:
        if counts[chosen].sum() >= wanted:
            break
        chosen[group] = True
    for name in np.flatnonzero(counts.sum(axis=0)):
        if not counts[chosen, name].any():
            chosen[next(group for group in order if counts[group, name])] = True
    return rows[chosen[inverse]]
