"""What is scored: every row once, or once for each time that overlapping test parts tested it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.split_sizes import META, Split, SplitSizes
from hage_transfer.data.labels import LabelTable


@dataclass(frozen=True)
class TestedRows:
    """Rows as they were tested, and where each fold's are.

    Attributes:
        labels: of the rows; where test parts overlap, a row for each test, and rows of one slide are one group, so that
            intervals count it once.
        folds: a fold's name to its rows here.
        overlap: whether some row was tested twice.
        sizes: of the splits.
        whole: the table that the folds were made of.
    """

    __test__ = False  # of pytest: no test in itself

    labels: LabelTable
    folds: Mapping[str, Int[np.ndarray, " test"]]
    overlap: bool
    sizes: SplitSizes
    whole: LabelTable

    @classmethod
    def of(cls, whole: LabelTable, folds: Sequence[Split]) -> "TestedRows":
        """Of a table's folds."""
        sizes = SplitSizes.of(folds)
        rows = np.concatenate([fold.test for fold in folds])
        if sizes.distinct == len(rows):
            return cls(whole, {fold.name: fold.test for fold in folds}, False, sizes, whole)
        ends = np.cumsum([len(fold.test) for fold in folds]).tolist()
        places = {fold.name: np.arange(end - len(fold.test), end) for fold, end in zip(folds, ends, strict=True)}
        groups = whole.keys if whole.groups is None else whole.groups
        table = replace(whole, groups=groups).take(rows)
        return cls(table, places, True, sizes, whole)

    def gather(
        self, of_fold: Mapping[str, Float[np.ndarray, "tested class"]], n_classes: int
    ) -> Float[np.ndarray, "row class"]:
        """Probabilities of every row here from those of each fold's test rows, in its order."""
        found = np.zeros((len(self.labels), n_classes))
        for name, rows in self.folds.items():
            found[rows] = of_fold[name]
        return found

    def meta(self, *, positive: int | None) -> dict[str, Any]:
        """Sizes of the splits; where they overlap, the whole table's counts and a warning."""
        if not self.overlap:
            return {META: self.sizes.meta(), "warnings": []}
        n_tests, what = len(self.labels), f"{self.labels.key_column}s"
        warning = (
            f"test parts overlap: {n_tests} tests of {self.sizes.distinct} of {len(self.whole)} {what}; the folds "
            "are not independent, so their std is too small for an error of the mean (intervals of differences allow)"
        )
        return {META: self.sizes.meta(), **self.whole.meta(positive=positive), "warnings": [warning]}
