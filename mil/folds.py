"""Which slides train, validate and test in each fold."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from hage_transfer.data.labels import LabelTable
from hage_transfer.data.splits import Fold, check_disjoint, table_folds, train_validation
from mil.config import MilConfig


@dataclass(frozen=True)
class MilFold:
    """Slides of one fold: training, validation inside the training side, test."""

    name: str
    train: Int[np.ndarray, "slide"]
    validation: Int[np.ndarray, "slide"]
    test: Int[np.ndarray, "slide"]


def mil_folds(config: MilConfig, labels: LabelTable) -> list[MilFold]:
    """Folds of the slides, each with its validation part; the same for every source.

    Raises:
        SplitError: folds by group without groups, or folds that the labels cannot fill.
    """
    groups = labels.groups if config.split.by_group else None
    split = config.split
    folds = table_folds(labels, n_folds=split.folds, by_group=split.by_group, seed=split.seed)
    return [_with_validation(fold, number, config, labels.labels, groups) for number, fold in enumerate(folds)]


def _with_validation(
    fold: Fold, number: int, config: MilConfig, labels: np.ndarray, groups: np.ndarray | None
) -> MilFold:
    if config.train.validation == 0:
        return MilFold(fold.name, fold.train, np.array([], dtype=np.int64), fold.test)
    kept, validation = train_validation(
        labels[fold.train],
        None if groups is None else groups[fold.train],
        share=config.train.validation,
        seed=config.split.seed + number,
    )
    parts = MilFold(fold.name, fold.train[kept], fold.train[validation], fold.test)
    if groups is not None:
        check_disjoint({"train": parts.train, "validation": parts.validation, "test": parts.test}, groups)
    return parts
