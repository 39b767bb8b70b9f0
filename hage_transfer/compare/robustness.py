"""Robustness index: are a unit's neighbours in feature space of its class, or of its centre?

References: de Jong, Marcus and Teuwen 2025, "Current pathology foundation models are unrobust to medical center
differences" (arXiv 2501.18055: neighbours of the same class over neighbours of the same centre); Koemen, de Jong, Hense
et al. 2025, "Towards robust foundation models for digital pathology" (arXiv 2507.17845: ``SO / (SO + OS)``, cosine,
neighbours of the unit's own slide left out, k where neighbours predict the class best, the median over models).

Let SO be the number of a unit's k nearest neighbours that have its class and another centre, and OS the number of those
that have another class and its centre: 1 means that biology decides what is near, 0 that the centre does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.bootstrap import MIN_GROUPS
from hage_transfer.errors import DataError

N_RESAMPLES = 1999
MOST_K = 201
"""Neighbours that are looked at where k is chosen."""
_BLOCK, _LEVEL = 512, 95.0
_FIRST_K = (1, 3, 5, 7, 9)


@dataclass(frozen=True)
class Units:
    """Labelled units; numbers stand for names.

    Attributes:
        classes: of each.
        centres: of each.
        groups: patient of each, whose other units are no neighbours.
    """

    classes: Int[np.ndarray, " unit"]
    centres: Int[np.ndarray, " unit"]
    groups: Int[np.ndarray, " unit"]

    @property
    def most_k(self) -> int:
        """Neighbours that every unit has: those of other patients."""
        return len(self.groups) - int(np.bincount(self.groups).max())

    def check(self) -> None:
        """Refuses units of which no neighbour can tell class from centre.

        Raises:
            DataError: one class or centre, or each centre has a class of its own.
        """
        for name, values in (("class", self.classes), ("centre", self.centres)):
            if len(np.unique(values)) < 2:
                raise DataError(f"all are of one {name}; the robustness index wants at least two classes and centres")
        so, os_, _ = self._candidates()
        if not so.any() or not os_.any():
            what = "class in another centre" if not so.any() else "centre of another class"
            raise DataError(
                f"nobody has a neighbour of the same {what} who is another patient, so class and centre cannot be told "
                "apart; is the group the patient, and not the centre?"
            )

    def chance(self) -> float:
        """The index of features that know neither class nor centre."""
        so, os_, others = self._candidates()
        return float((so / others).sum() / ((so + os_) / others).sum())

    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each unit: possible neighbours of its class elsewhere, of another class here, and all."""
        found = []
        for _, apart, same_class, same_centre in self.blocks():
            so, os_ = apart & same_class & ~same_centre, apart & ~same_class & same_centre
            found.append(np.stack([so.sum(axis=1), os_.sum(axis=1), apart.sum(axis=1)]))
        so, os_, others = np.concatenate(found, axis=1)
        return so, os_, np.maximum(others, 1)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Some units against all: which are of another patient, of the same class, of the same centre."""
        for start in range(0, len(self.groups), _BLOCK):
            rows = slice(start, start + _BLOCK)
            yield (
                rows,
                self.groups[rows, None] != self.groups,
                self.classes[rows, None] == self.classes,
                self.centres[rows, None] == self.centres,
            )


def nearest(rows: Float[np.ndarray, "unit feature"], units: Units, *, k: int) -> Int[np.ndarray, "unit k"]:
    """The k nearest units of other patients by cosine, the nearest first; the earlier of two as near."""
    values = rows.astype(np.float64)
    directions = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    found = []
    for place, apart, *_ in units.blocks():
        cosines = np.where(apart, directions[place] @ directions.T, -np.inf)
        found.append(np.argsort(-cosines, axis=1, kind="stable")[:, :k])
    return np.concatenate(found)


def best_k(neighbours: Sequence[Int[np.ndarray, "unit k"]], units: Units) -> int:
    """Where neighbours predict the class best (balanced accuracy), the median over sources.

    Args:
        neighbours: of each source, with as many as any k may have.
        units: their classes.
    """
    from sklearn.metrics import balanced_accuracy_score

    n_classes, most = int(units.classes.max()) + 1, neighbours[0].shape[1]
    tried = [k for k in (*_FIRST_K, *range(11, most + 1, 10)) if k <= most]
    best = []
    for found in neighbours:
        votes = np.cumsum(np.eye(n_classes, dtype=np.int32)[units.classes[found]], axis=1)
        scores = [balanced_accuracy_score(units.classes, votes[:, k - 1].argmax(axis=1)) for k in tried]
        best.append(tried[int(np.argmax(scores))])
    return int(np.median(best))


@dataclass(frozen=True)
class Counts:
    """Neighbours of each unit, mean over trials.

    Attributes:
        so: of its class and another centre.
        os: of another class and its centre.
        same_class: of its class.
        same_centre: of its centre.
    """

    so: Float[np.ndarray, " unit"]
    os: Float[np.ndarray, " unit"]
    same_class: Float[np.ndarray, " unit"]
    same_centre: Float[np.ndarray, " unit"]

    @classmethod
    def of(cls, trials: Sequence[Int[np.ndarray, "unit k"]], units: Units, *, k: int) -> "Counts":
        """Of each trial's neighbours."""
        near = np.stack([found[:, :k] for found in trials])
        same_class = units.classes[near] == units.classes[:, None]
        same_centre = units.centres[near] == units.centres[:, None]
        kinds = same_class & ~same_centre, ~same_class & same_centre, same_class, same_centre
        return cls(*(kind.sum(axis=2).mean(axis=0) for kind in kinds))

    @property
    def index(self) -> float | None:
        """SO / (SO + OS); None where no neighbour is either."""
        so, os_ = self.so.sum(), self.os.sum()
        return float(so / (so + os_)) if so + os_ else None

    @property
    def ratio(self) -> float | None:
        """Neighbours of the same class over those of the same centre: above 1 biology prevails (de Jong et al.)."""
        return float(self.same_class.sum() / self.same_centre.sum()) if self.same_centre.any() else None


def index_draws(counts: Counts, units: Units, *, seed: int = 0) -> Float[np.ndarray, " resample"]:
    """The index of units drawn anew by patient, each with its neighbours as they are; the same draws for any source."""
    groups = np.unique(units.groups, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(n_groups, [1 / n_groups] * n_groups, N_RESAMPLES)
    so, os_ = (drawn @ np.bincount(groups, weights=values) for values in (counts.so, counts.os))
    total = so + os_
    return np.where(total > 0, so / np.where(total > 0, total, 1), np.nan)


def ends(draws: Float[np.ndarray, " resample"], units: Units) -> tuple[float | None, float | None]:
    """Of the middle 95%; None of fewer than three patients."""
    known = draws[np.isfinite(draws)]
    if len(np.unique(units.groups)) < MIN_GROUPS or len(known) < len(draws) / 2:
        return None, None
    low, high = np.percentile(known, [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
    return float(low), float(high)
