"""What a comparison of sources says of a target beyond classes: records, intervals by patient, tests, tables."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.bootstrap import MIN_GROUPS
from hage_transfer.compare.comparison import LEVEL, fold_tests
from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.compare.out_of_fold import PREDICTION_ROWS, OutOfFold, scored_records, trials_as_one, write_scores
from hage_transfer.compare.records import Record, mean_of_defined
from hage_transfer.compare.results import BASELINE, Results
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.data.labels import LabelTable
from hage_transfer.running.atomic import write_csv
from hage_transfer.targets.base import Target, by_unit
from hage_transfer.targets.multilabel import MultiLabel
from hage_transfer.targets.survival_metrics import horizon_rows

log = logging.getLogger(__name__)
N_RESAMPLES = 2000


@dataclass(frozen=True)
class ValueScoring:
    """A target on the rows that are tested.

    Where all rows of a group (a patient) have one value, groups are judged, by the mean of their rows' scores; else
    rows.

    Attributes:
        target: what is judged.
        tested: rows, with values.
        training: a fold's name to the rows of the whole table that made its model.
    """

    target: Target
    tested: TestedRows
    training: Mapping[str, Int[np.ndarray, " train"]]

    @property
    def by_group(self) -> bool:
        """Whether groups are judged."""
        return _by_group(self.tested.whole)

    def units(self, rows: Int[np.ndarray, " row"], *, whole: bool = False) -> Int[np.ndarray, " row"]:
        """What rows belong to, as numbers that are the same in every fold."""
        labels = self.tested.whole if whole else self.tested.labels
        return _numbered(labels, by_group=self.by_group)[rows]

    def judged(self, fold: str, scores: Float[np.ndarray, "row score"]) -> tuple[np.ndarray, np.ndarray]:
        """Values and scores of a fold's units."""
        rows, values = self.tested.folds[fold], self.tested.labels.values
        return by_unit(values[rows], scores[rows], self.units(rows))  # type: ignore[index]

    def trained(self, fold: str) -> Float[np.ndarray, "train value"]:
        """Values of a fold's training units."""
        rows = self.training[fold]
        values = self.tested.whole.values[rows]  # type: ignore[index]
        return by_unit(values, values, self.units(rows, whole=True))[0]

    def measure(self, fold: str, scores: Float[np.ndarray, "row score"]) -> dict[str, float | None]:
        """Metrics of a fold."""
        return self.target.measure(*self.judged(fold, scores), training=self.trained(fold))

    def compared(self, predictions: Sequence[OutOfFold], *, task: str, folder: Path) -> Results:
        """Records and meta; writes ``predictions.csv`` and tables into the run directory."""
        labels, folds = self.tested.labels, list(self.tested.folds)
        n_rows = write_scores(
            folder / "predictions.csv",
            predictions,
            key_column=labels.key_column,
            keys=labels.keys.tolist(),
            test_rows=self.tested.folds,
            columns=self.columns,
        )
        records = scored_records(predictions, task=task, folds=folds, measure=self.measure)
        claims = self._claims(predictions, records)
        tables = {**claims, "horizons": self.horizons(predictions), "per_label": self.per_label(predictions)}
        for name, rows in tables.items():
            write_rows(folder / f"{name}.csv", rows)
        as_one, together = trials_as_one(predictions), dict[str, Any]()
        if as_one:
            own = scored_records(as_one, task=task, folds=folds, measure=self.measure)
            together = {"records": [asdict(record) for record in own], **self._claims(as_one, own)}
        meta = {
            "target": self.target.facts(),
            "metrics": list(self.target.metrics),
            "metric_unit": "group" if self.by_group else "row",
            PREDICTION_ROWS: n_rows,
            "trials_as_one": together,
            "horizons": tables["horizons"],
            **claims,
            "warnings": [*self.tested.meta(positive=None)["warnings"], *self.at_chance(claims["intervals"])],
        }
        return Results(records, meta)

    def columns(self, rows: np.ndarray, scores: np.ndarray) -> Mapping[str, np.ndarray]:
        """What `predictions.csv` says of some rows: truth, call and scores."""
        labels = self.tested.labels
        values = labels.values[rows]  # type: ignore[index]
        label = values[:, 0] if self.target.kind == "regression" else labels.labels[rows]
        own = {name: scores[:, place] for place, name in enumerate(self.target.score_names)}
        return {"label": label, **self.target.columns(values, scores), **own}

    def _claims(self, predictions: Sequence[OutOfFold], records: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
        names = list(dict.fromkeys(prediction.source for prediction in predictions))
        baseline = BASELINE if BASELINE in names else names[0]
        tests = fold_tests(records, self.target.metrics, self.tested.sizes, sources=names, baseline=baseline)
        return {"intervals": [self.interval(predictions, name) for name in names], "paired_tests": tests}

    def interval(self, predictions: Sequence[OutOfFold], source: str) -> dict[str, Any]:
        """The main metric's mean over folds and trials, with its 95% interval over units drawn again."""
        trials = [one.probabilities for one in predictions if one.source == source]
        rows = np.concatenate(list(self.tested.folds.values()))
        n_units = len(np.unique(self.units(rows)))
        metric, unit = self.target.metrics[0], "group" if self.by_group else "row"
        mean = mean_of_defined(self.measure(fold, one)[metric] for fold in self.tested.folds for one in trials)
        found = {"source": source, "metric": metric, "mean": mean, "low": None, "high": None, "level": LEVEL}
        found |= {"n_units": n_units, "method": None, "reason": None}
        if n_units < MIN_GROUPS:
            return found | {"reason": f"{n_units} {unit}s; an interval needs {MIN_GROUPS}"}
        draws = self.draws(trials)
        means = draws[np.isfinite(draws)]
        if len(means) < N_RESAMPLES / 2:
            return found | {"reason": "not defined in most draws: too few units or events, or too many to pair"}
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
        return found | {"low": low, "high": high, "method": f"bootstrap by {unit}"}

    def draws(self, trials: Sequence[Float[np.ndarray, "row score"]]) -> Float[np.ndarray, " resample"]:
        """The main metric's mean over folds and trials of units drawn again, the same units for any scores."""
        names = np.unique(self.units(np.concatenate(list(self.tested.folds.values()))))
        drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=N_RESAMPLES)
        found = []
        for fold, of_fold in self.tested.folds.items():
            own = drawn[:, np.searchsorted(names, np.unique(self.units(of_fold)))]
            found += [self.target.resampled(*self.judged(fold, one), own) for one in trials]
        known = np.isfinite(found)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(known, found, 0.0).sum(axis=0) / known.sum(axis=0))

    def at_chance(self, intervals: Sequence[Mapping[str, Any]]) -> list[str]:
        """Sources that score no better than one that knows nothing."""
        chance, found = self.target.chance, []
        for row in intervals:
            if row["low"] is not None and row["low"] <= chance <= row["high"]:
                name = METRIC_NAMES.get(row["metric"], row["metric"])
                found.append(
                    f"{row['source']}: {name} {row['mean']:.3f} (95% interval {row['low']:.3f} to {row['high']:.3f}) "
                    f"cannot be told from {chance:g}, what no knowledge scores"
                )
        for line in found:
            log.warning("%s", line)
        return found

    def horizons(self, predictions: Sequence[OutOfFold]) -> list[dict[str, Any]]:
        """AUC and Brier score by horizon, of every source, trial and fold of a survival target."""
        if self.target.kind != "survival":
            return []
        times = self.target.horizons  # type: ignore[attr-defined]
        return [
            {"source": one.source, "trial": one.trial, "fold": fold, **row}
            for one in predictions
            for fold in self.tested.folds
            for row in horizon_rows(*self.judged(fold, one.probabilities), times, training=self.trained(fold))
        ]

    def per_label(self, predictions: Sequence[OutOfFold]) -> list[dict[str, Any]]:
        """AUC and average precision of every label, of every source, trial and fold of a target of several labels."""
        if not isinstance(self.target, MultiLabel):
            return []
        return [
            {"source": one.source, "trial": one.trial, "fold": fold, **row}
            for one in predictions
            for fold in self.tested.folds
            for row in self.target.by_label(*self.judged(fold, one.probabilities))
        ]


def judged_units(labels: LabelTable) -> Int[np.ndarray, " row"]:
    """What each row of a table belongs to, as numbers: its group where groups are judged, else itself."""
    return _numbered(labels, by_group=_by_group(labels))


def _by_group(labels: LabelTable) -> bool:
    if labels.groups is None:
        return False
    pairs = set(zip(labels.groups.tolist(), _texts(labels.values), strict=True))
    return len(np.unique(labels.groups)) == len(pairs)


def _numbered(labels: LabelTable, *, by_group: bool) -> Int[np.ndarray, " row"]:
    names = labels.groups if by_group and labels.groups is not None else labels.keys
    return np.unique(names, return_inverse=True)[1]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a table; removes what an earlier one left where there are no rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if rows:
        write_csv(path, columns, rows)
    else:
        path.unlink(missing_ok=True)


def _texts(values: np.ndarray | None) -> list[str]:
    return [] if values is None else [str(row) for row in values.tolist()]
