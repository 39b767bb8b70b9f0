"""External validation of a target beyond classes: the target's metrics on labelled new patients, as runs have them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from sklearn import config_context

from hage_transfer.apply.labelled import EXTERNAL, columns_of, ends_of, matched
from hage_transfer.apply.scores import Scores
from hage_transfer.apply.validation import TASK, reliability_bins, subgroups_of
from hage_transfer.apply.value_calibration import agreement, calibrated_names, known_labels, survival_groups
from hage_transfer.apply.warned import warned
from hage_transfer.compare.bootstrap import MIN_GROUPS
from hage_transfer.compare.out_of_fold import OutOfFold
from hage_transfer.compare.records import MEAN, Record
from hage_transfer.compare.results import Results
from hage_transfer.compare.split_sizes import SplitSizes
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.compare.value_scoring import ValueScoring
from hage_transfer.csv_table import csv_table
from hage_transfer.data.labels import GROUP_COLUMNS, KEY_COLUMNS, LabelTable, read_labels
from hage_transfer.encode.bags import has_labels
from hage_transfer.errors import DataError
from hage_transfer.targets.base import Target
from hage_transfer.targets.make import target_of
from hage_transfer.targets.ordinal import Ordinal
from hage_transfer.targets.read import one_value_a_group, read_values, value_columns
from hage_transfer.targets.settings import OrdinalSettings, TargetSettings, ValueSettings
from hage_transfer.targets.strata import strata
from hage_transfer.targets.survival import Survival

log = logging.getLogger(__name__)

_RESAMPLES = 199
"""For numbers beside the main metric."""
_OTHER_UNIT = 8.0


def has_truth(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a table has what a classifier learnt: a column of labels, or one of its target's; tells where it has not.

    A table of slides and their um per px alone is none of truth.
    """
    wanted = value_columns(_settings(facts)) if facts.get("target") else ["label"]
    with csv_table(path, absent="no such slide table") as table:
        columns = list(table.columns)
    found = any(name in columns for name in wanted) if facts.get("target") else has_labels(path)
    others = [name for name in columns if name not in (*KEY_COLUMNS, *GROUP_COLUMNS, "mpp")]
    if not found and others:
        log.warning(
            "%s: has no column %s, so nothing is validated (it has %s)", path, " or ".join(wanted), ", ".join(columns)
        )
    return found


class ValueCohort:
    """Labelled new units beside their scores."""

    def __init__(self, frame: pd.DataFrame, table: pd.DataFrame, labels: LabelTable, target: Target) -> None:
        """Beside each other, row by row.

        Args:
            frame: rows of ``scores.csv``.
            table: rows of the label table.
            labels: keys, patients and values.
            target: what was learnt.
        """
        self.frame, self.table, self.labels, self.target = frame, table, labels, target
        self.scores = frame[list(target.score_names)].to_numpy(dtype=np.float64)
        names = [name for name in calibrated_names(target) if name in frame]
        self.fitted = frame[names].to_numpy(dtype=np.float64) if names else None

    @classmethod
    def read(cls, scores: Scores, path: Path) -> "ValueCohort":
        """Scores beside a label table.

        Raises:
            DataError: no scored unit in it, or values that are not the target's.
        """
        settings, target = _settings(scores.facts), target_of(scores.facts["target"])
        assert target is not None
        labels = read_labels(path, labels_needed=False)
        frame, rows = matched(scores, labels, path)
        frame.index = pd.Index(labels.keys[rows])
        found, values = read_values(labels.take(rows), settings, path)
        if isinstance(settings, OrdinalSettings) and isinstance(target, Ordinal) and not settings.order:
            values = _places(values, target, settings.column, path)
        found = replace(found, values=values)
        found = replace(found, labels=strata(found, target, path))
        if settings.kind == "survival":
            one_value_a_group(found, path)
            if not (values[:, 1] > 0).any():
                raise DataError(
                    f"{path}: all {len(values)} rows are censored, and without an event nothing can be validated; look "
                    "at the column of events, or leave the labels out"
                )
        keys = found.keys.tolist()
        return cls(frame.loc[keys].reset_index(drop=True), columns_of(path, keys), found, target)

    def take(self, rows: np.ndarray) -> "ValueCohort":
        """Some units."""
        frame, table = (one.iloc[rows].reset_index(drop=True) for one in (self.frame, self.table))
        return ValueCohort(frame, table, self.labels.take(rows), self.target)

    @cached_property
    def scoring(self) -> ValueScoring:
        """As one fold, whose censoring is its own."""
        rows = np.arange(len(self.labels))
        sizes = SplitSizes({EXTERNAL: len(rows)}, {EXTERNAL: len(rows)}, len(rows), evenly=True)
        tested = TestedRows(self.labels, {EXTERNAL: rows}, False, sizes, self.labels)
        return ValueScoring(self.target, tested, {EXTERNAL: rows})

    @property
    def n_units(self) -> int:
        """Patients, or rows where rows are judged."""
        return len(np.unique(self.scoring.units(np.arange(len(self.labels)))))

    def predictions(self, source: str) -> pd.DataFrame:
        """The units with their truth, as a run's `predictions.csv` has them."""
        columns = self.scoring.columns(np.arange(len(self.labels)), self.scores)
        name = self.labels.key_column
        return pd.DataFrame({"source": source, "trial": 0, name: self.labels.keys, "fold": EXTERNAL, **columns})

    def truth(self) -> dict[str, dict[str, Any]]:
        """What is true of each unit that was scored: ``label``, and of survival time and event."""
        columns = self.scoring.columns(np.arange(len(self.labels)), self.scores)
        kept = {name: columns[name] for name in ("label", "time", "event") if name in columns}
        rows = pd.DataFrame(kept).to_dict("records")
        return dict(zip(self.frame.iloc[:, 0], rows, strict=True))

    def measured(self) -> dict[str, float | None]:
        """The target's metrics."""
        return self.scoring.measure(EXTERNAL, self.scores)

    @cached_property
    def judged(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Values, scores and calibrated numbers of patients, or of rows where rows are judged."""
        fitted = None if self.fitted is None else self.scoring.judged(EXTERNAL, self.fitted)[1]
        return *self.scoring.judged(EXTERNAL, self.scores), fitted

    def intervals(self) -> list[dict[str, Any]]:
        """Every metric and what calibration says, with 95% intervals, units drawn again; none of fewer than three."""
        values, drawn = self.measured(), self._drawn() if self.n_units >= MIN_GROUPS else {}
        values |= agreement(self.target, *self.judged)
        nothing = {"low": None, "high": None}
        return [
            {"metric": name, "value": value, **(ends_of(drawn[name]) if name in drawn else nothing)}
            for name, value in values.items()
        ]

    def _drawn(self) -> dict[str, np.ndarray]:
        values, scores, fitted = self.judged
        generator, found = np.random.default_rng(0), []
        with config_context(skip_parameter_validation=True):  # half of what scoring a draw takes
            for _ in range(_RESAMPLES):
                units = generator.choice(len(values), len(values))
                of_draw = values[units], scores[units]
                of_fitted = agreement(self.target, *of_draw, None if fitted is None else fitted[units])
                found.append(self.target.measure(*of_draw, training=values) | of_fitted)
        by_name = {name: np.array([one[name] for one in found], dtype=np.float64) for name in found[0]}
        return {**by_name, self.target.metrics[0]: self.scoring.draws([self.scores])}


def validate_values(
    scores: Scores,
    cohort: ValueCohort,
    path: Path,
    *,
    subgroups: Sequence[str],
    others: Sequence[Scores],
    trained: Mapping[str, Any],
) -> Results:
    """Every number of the cohort as results of the one fold ``external``.

    Args:
        scores: that it is of.
        cohort: with its true values.
        path: table of these.
        subgroups: columns of it.
        others: applications on the same units.
        trained: the training cohort's facts.

    Raises:
        DataError: as ``ValueCohort.read``; another application of another target or on other units.
        ConfigError: a column that the table does not have.
    """
    source = str(scores.facts["source"])
    intervals, scoring, target = cohort.intervals(), cohort.scoring, cohort.target
    records = [
        Record(task=TASK, source=source, split="test", fold=fold, trial=None, metric=row["metric"], value=row["value"])
        for fold in (EXTERNAL, MEAN)
        for row in intervals
    ]
    main = {"source": source, "mean": intervals[0]["value"], **intervals[0]}
    own = [OutOfFold(source, None, cohort.scores)]
    meta = {
        "task": TASK,
        "target": target.facts(),
        "metrics": list(target.metrics),
        "rows": len(cohort.labels),
        "units": "slides" if scores.facts["task"] == "mil" else "patches",
        "groups": cohort.n_units,
        "here": target.summary(cohort.labels.values),  # type: ignore[arg-type]
        "in_training": dict(trained["values"]),
        "intervals": intervals,
        "subgroups": [row for column in subgroups for row in _subgroup_rows(cohort, column)],
        "horizons": scoring.horizons(own),
        "per_label": scoring.per_label(own),
        "calibration": scores.facts["calibration"],
        **_observed(cohort),
        "pairs": [row for other in others for row in _pair(cohort, source, other, path)],
        "warnings": [
            *warned(
                scores,
                n_rows=len(cohort.labels),
                n_patients=cohort.n_units,
                doubtful=cohort.frame["doubtful"].to_numpy(dtype=bool),
            ),
            *scoring.at_chance([main]),
            *_other_unit(path, target.summary(cohort.labels.values), trained["values"]),  # type: ignore[arg-type]
        ],
    }
    return Results(records, meta)


def _other_unit(path: Path, here: Mapping[str, float], trained: Mapping[str, float]) -> list[str]:
    """Times of survival that are many times longer or shorter than in training, as days beside months are."""
    both = ((name, here[name], trained[name]) for name in trained if "time" in name and name in here)
    for name, met, wanted in both:
        if min(met, wanted) > 0 and max(met / wanted, wanted / met) > _OTHER_UNIT:
            found = (
                f"{path}: {name} is {met:.4g} here and was {wanted:.4g} in training: are these times in another unit?"
            )
            log.warning("%s", found)
            return [found]
    return []


def _observed(cohort: ValueCohort) -> dict[str, list[dict[str, Any]]]:
    """Predicted beside observed: of groups of survival, of bins of the (calibrated) probability of a grade or label."""
    values, scores, fitted = cohort.judged
    if isinstance(cohort.target, Survival):
        return {"reliability": survival_groups(cohort.target, values, scores)}
    shares = scores if fitted is None else fitted
    return {
        "reliability": [
            {"label": name, **row}
            for place, (name, known, true) in enumerate(known_labels(cohort.target, values))
            for row in reliability_bins(shares[known, place], true[known])
        ]
    }


def _subgroup_rows(cohort: ValueCohort, column: str) -> list[dict[str, Any]]:
    rows, main = [], cohort.target.metrics[0]
    for value, place in subgroups_of(cohort.table, column):
        part = cohort.take(np.flatnonzero(place))
        ends = ends_of(part.scoring.draws([part.scores])) if part.n_units >= MIN_GROUPS else {"low": None, "high": None}
        sizes = {"rows": len(part.labels), "groups": part.n_units}
        found = {f"{main}_{name}": one for name, one in ends.items()}
        rows.append({"column": column, "value": value, **sizes, **part.measured(), **found})
    return rows


def _pair(cohort: ValueCohort, source: str, against: Scores, path: Path) -> list[dict[str, Any]]:
    """The difference in the main metric on the same units."""
    name = f"{against.facts['source']} ({against.folder.name})"
    if against.facts.get("target") != cohort.target.facts() and target_of(against.facts.get("target")) != cohort.target:
        raise DataError(f"{source} and {name}: learnt other targets; compare those of one")
    other, metric = ValueCohort.read(against, path), cohort.target.metrics[0]
    if other.labels.keys.tolist() != cohort.labels.keys.tolist():
        raise DataError(f"{source} and {name}: scored other units; apply both to the same")
    values = [one.measured()[metric] for one in (cohort, other)]
    if values[0] is None or values[1] is None:
        return []
    ends = ends_of(cohort.scoring.draws([cohort.scores]) - other.scoring.draws([other.scores]))
    return [{"source": source, "against": name, "metric": metric, "difference": values[0] - values[1], **ends}]


def _settings(facts: Mapping[str, Any]) -> ValueSettings:
    return cast("ValueSettings", TypeAdapter(TargetSettings).validate_python(facts["target_settings"]))


def _places(values: np.ndarray, target: Ordinal, column: str, path: Path) -> np.ndarray:
    """Places of grades that are numbers."""
    names = [f"{value:g}" for value in values[:, 0].tolist()]
    other = sorted(set(names) - set(target.grades))
    if other:
        raise DataError(f"{path}: {column} {other[0]} is none of the classifier's grades ({', '.join(target.grades)})")
    return np.array([[target.grades.index(name)] for name in names], dtype=np.float64)
