"""How many rows each split trained on and tested: what the uncertainty of a mean over splits depends on.

Splits of one set share rows, so their scores are not independent and the plain standard error is too small. Corrected
as Nadeau and Bengio 2003 ("Inference for the generalization error"): the variance of a mean over J splits is
(1/J + n_test/n_train) s^2, with the sizes of the splits themselves.

Degrees of freedom are ours: J splits hold no more evidence than as many disjoint test parts as their rows would fill,
so J - 1, or (distinct rows tested) / (rows of a test part) - 1 where that is less. Where parts overlap and do not test
every row equally often (Monte-Carlo draws, published splits), no more than 4. `benchmarks/calibration.py` measures
the false verdicts that this leaves (docs/error-rates.md); with J - 1 for all, up to one verdict in ten is false.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Protocol

import numpy as np

META = "split_sizes"
_MOST_OF_DRAWS = 4.0
_DISJOINT = ("folds", "site", "official")


class Split(Protocol):
    """Rows of the two sides of a split."""

    @property
    def name(self) -> str:
        """Of the split."""

    @property
    def train(self) -> np.ndarray:
        """Rows that trained."""

    @property
    def test(self) -> np.ndarray:
        """Rows that are tested."""


@dataclass(frozen=True)
class SplitSizes:
    """Sizes of the splits of a run.

    Attributes:
        train: rows that made the model (validation rows chose its epoch and count), by split.
        test: rows that were tested, by split.
        distinct: rows that some split tested.
        evenly: whether every one of them was tested equally often, as in (repeated) k-fold.
    """

    train: Mapping[str, int]
    test: Mapping[str, int]
    distinct: int
    evenly: bool

    @classmethod
    def of(cls, splits: Sequence[Split]) -> "SplitSizes":
        """Of splits by their rows; a ``validation`` part counts as training."""
        _, times = np.unique(np.concatenate([split.test for split in splits]), return_counts=True)
        return cls(
            {split.name: len(split.train) + len(getattr(split, "validation", ())) for split in splits},
            {split.name: len(split.test) for split in splits},
            len(times),
            bool((times == times[0]).all()),
        )

    @classmethod
    def k_fold(cls, names: Collection[str]) -> "SplitSizes":
        """Of k disjoint test parts of equal size, each of which the rest trained for."""
        return cls(dict.fromkeys(names, len(names) - 1), dict.fromkeys(names, 1), len(names), True)

    @classmethod
    def unknown(cls) -> "SplitSizes":
        """Of splits whose sizes nobody recorded: no spread can be had of them."""
        return cls({}, {}, 0, True)

    def ratio(self, names: Collection[str]) -> float | None:
        """Mean n_test / n_train over some splits; None where one is not known."""
        if not names or any(not self.train.get(name) or name not in self.test for name in names):
            return None
        return mean(self.test[name] / self.train[name] for name in names)

    def freedom(self, names: Collection[str]) -> float:
        """Degrees of freedom of s^2 over some splits; see the module."""
        parts = self.distinct / mean(self.test[name] for name in names) - 1
        most = parts if self.evenly else min(parts, _MOST_OF_DRAWS)
        return max(min(len(names) - 1.0, most), 1.0)

    def meta(self) -> dict[str, Any]:
        """As it stands in the meta of results."""
        return {
            "train": dict(self.train),
            "test": dict(self.test),
            "distinct": self.distinct,
            "evenly": self.evenly,
        }


def sizes_of(meta: Mapping[str, Any], names: Collection[str]) -> SplitSizes:
    """The sizes that results recorded.

    Results of earlier versions recorded none: disjoint folds are then taken as equal in size, which they nearly are;
    of Monte-Carlo draws, published splits, and sections whose patients are not recorded, nothing is known.
    """
    found = meta.get(META)
    if isinstance(found, Mapping):
        return SplitSizes(found["train"], found["test"], found["distinct"], found["evenly"])
    if meta.get("split_unit") == "section" and "patients" not in meta:
        return SplitSizes.unknown()  # sections of one patient are no units, and nobody knows whose they are
    return SplitSizes.k_fold(names) if meta.get("split", "folds") in _DISJOINT else SplitSizes.unknown()
