"""External validation: what a classifier is worth on labelled new patients, at the threshold that was frozen before."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hage_transfer.apply.labelled import (
    EXTERNAL,
    N_RESAMPLES,
    Cohort,
    cohort_auc_draws,
    ends_of,
    interval_of,
    measured,
)
from hage_transfer.apply.scores import Scores
from hage_transfer.apply.warned import warned
from hage_transfer.compare.bootstrap import paired_bootstrap
from hage_transfer.compare.records import MEAN, Record, finite
from hage_transfer.compare.results import Results
from hage_transfer.errors import ConfigError, DataError, some

TASK = "apply"
_MOST_VALUES, _BINS = 8, 10
_NOT_GIVEN = "not given"
_OWN_COLUMNS = {"slide", "slide_id", "image_id", "key", "label", "target", "group", "case_id", "mpp"}


def validate(scores: Scores, cohort: Cohort, *, subgroups: Sequence[str], trained: Mapping[str, Any]) -> Results:
    """Every number of the cohort, with intervals by patient, as results of the one fold ``external``.

    Args:
        scores: that it is of.
        cohort: with its labels.
        subgroups: columns of the label table.
        trained: the training cohort's facts, for the distribution of labels.

    Raises:
        ConfigError: a column that the table does not have.
    """
    source = str(scores.facts["source"])
    values = measured(cohort)
    intervals = [{"metric": name, "value": value, **interval_of(name, cohort)} for name, value in values.items()]
    records = [
        Record(task=TASK, source=source, split="test", fold=fold, trial=None, metric=name, value=value)
        for fold in (EXTERNAL, MEAN)
        for name, value in values.items()
    ]
    counts = {name: int((cohort.labels == place).sum()) for place, name in enumerate(cohort.classes)}
    n_patients = len(np.unique(cohort.groups))
    meta = {
        "task": TASK,
        "classes": list(cohort.classes),
        "positive": scores.facts["positive"],
        "rows": len(cohort.labels),
        "units": "slides" if scores.facts["task"] == "mil" else "patches",
        "groups": n_patients,
        "class_counts": counts,
        "training_counts": dict(trained["labels"]),
        "operating_point": scores.facts["operating_point"],
        "threshold": scores.facts["threshold"],
        "calibration": scores.facts["calibration"],
        "intervals": intervals,
        "subgroups": [row for column in subgroups for row in subgroup_rows(cohort, column)],
        "reliability": reliability(cohort),
        "decision_curve": decision_curve(cohort),
        "warnings": [
            *warned(scores, n_rows=len(cohort.labels), n_patients=n_patients, doubtful=cohort.doubtful),
            *_shares(cohort, counts, trained),
        ],
    }
    return Results(records, meta)


def subgroup_rows(cohort: Cohort, column: str) -> list[dict[str, Any]]:
    """Metrics of the units of each value of a column; errors as ``subgroups_of``."""
    rows = []
    for value, place in subgroups_of(cohort.table, column):
        part = cohort.take(place)
        found = measured(part)
        shown = {name: found.get(name) for name in ("auc", "accuracy", "sensitivity", "specificity")}
        ends = interval_of("auc", part) if found["auc"] is not None else {"low": None, "high": None}
        sizes = {"rows": len(part.labels), "groups": len(np.unique(part.groups))}
        counts = {f"rows_{name}": int((part.labels == place).sum()) for place, name in enumerate(part.classes)}
        rows.append(
            {
                "column": column,
                "value": value,
                **sizes,
                **counts,
                **shown,
                "auc_low": ends["low"],
                "auc_high": ends["high"],
            }
        )
    return rows


def subgroups_of(table: pd.DataFrame, column: str) -> list[tuple[str, Bool[np.ndarray, " unit"]]]:
    """Values of a column of the label table, and the units of each; numbers of many values go into quarters.

    Units without a value come last, as one group.

    Raises:
        ConfigError: no such column, or too many values that are no numbers.
    """
    refuse_column(column, list(table.columns))
    values = table[column].str.strip()
    given = values[values != ""]
    order, names = given.sort_values(kind="stable").index, values.where(values != "", _NOT_GIVEN)
    if given.nunique() > _MOST_VALUES:
        numbers = pd.to_numeric(given, errors="coerce")
        other = given[~np.isfinite(numbers)]
        if len(other):
            raise ConfigError(
                f"subgroups={column}: {given.nunique()} values, of which {some(sorted(set(other)), 3)} are no numbers; "
                f"group them into at most {_MOST_VALUES}"
            )
        quarters = pd.qcut(numbers, 4, duplicates="drop", labels=False)
        order = numbers.sort_values(kind="stable").index
        around = numbers.groupby(quarters).agg(["min", "max"])
        names.update(quarters.map(lambda one: f"{around['min'][one]:g} to {around['max'][one]:g}"))
    left = [_NOT_GIVEN] if len(given) < len(values) else []
    return [(value, (names == value).to_numpy()) for value in dict.fromkeys([*names[order], *left])]


def refuse_column(column: str, columns: Sequence[str]) -> None:
    """Refuses a column of subgroups that a label table does not have, or that has another meaning there.

    Raises:
        ConfigError: see above.
    """
    there = [name for name in columns if name not in _OWN_COLUMNS]
    if column not in there:
        raise ConfigError(
            f"subgroups={column}: the label table has no such column; it has {', '.join(there) or 'none'}"
        )


def reliability(cohort: Cohort) -> list[dict[str, Any]]:
    """Share of positives (of right calls, of more than two classes) in ten bins of the calibrated probability."""
    place = cohort.positive
    scores = cohort.fitted.max(axis=1) if place is None else cohort.fitted[:, place]
    truth = cohort.fitted.argmax(axis=1) == cohort.labels if place is None else cohort.labels == place
    return reliability_bins(scores, truth)


def reliability_bins(scores: Float[np.ndarray, " unit"], truth: Bool[np.ndarray, " unit"]) -> list[dict[str, Any]]:
    """Mean probability, share of what is true and rows of each of ten equal bins that holds any."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    return [
        {
            "probability": float(scores[bins == one].mean()),
            "share": float(truth[bins == one].mean()),
            "rows": int((bins == one).sum()),
        }
        for one in np.unique(bins).tolist()
    ]


def decision_curve(cohort: Cohort) -> list[dict[str, Any]]:
    """Net benefit of acting from a probability on, of acting on all, and (0) on none; empty of more than two classes.

    Reference: Vickers and Elkin 2006: TP / n - FP / n x p / (1 - p).
    """
    if cohort.positive is None:
        return []
    scores, truth = cohort.fitted[:, cohort.positive], cohort.labels == cohort.positive
    rows = []
    for threshold in np.arange(0.01, 0.995, 0.01).round(2).tolist():
        acted, odds = scores >= threshold, threshold / (1 - threshold)
        own = float((acted & truth).mean() - (acted & ~truth).mean() * odds)
        rows.append({"threshold": threshold, "classifier": own, "all": float(truth.mean() - (~truth).mean() * odds)})
    return rows


def compare_pair(one: Cohort, other: Cohort, names: tuple[str, str]) -> list[dict[str, Any]]:
    """Differences of two classifiers on the same units, in AUC and accuracy, with intervals by patient."""
    same = len(one.labels) == len(other.labels) and bool((one.labels == other.labels).all())
    if not same or one.classes != other.classes:
        raise DataError(f"{names[0]} and {names[1]}: scored other units; apply both to the same")
    rows = []
    aucs = [measured(cohort)["auc"] for cohort in (one, other)]
    if aucs[0] is not None and aucs[1] is not None:
        ends = ends_of(cohort_auc_draws(one) - cohort_auc_draws(other))
        rows.append({"source": names[0], "against": names[1], "metric": "auc", "difference": aucs[0] - aucs[1], **ends})
    right, other_right = ((cohort.called == cohort.labels).astype(float) for cohort in (one, other))
    found = paired_bootstrap(right, other_right, one.groups.tolist(), n_resamples=N_RESAMPLES)
    own = {"difference": finite(found.mean), "low": found.low, "high": found.high}
    return [*rows, {"source": names[0], "against": names[1], "metric": "accuracy", **own}]


def _shares(cohort: Cohort, counts: Mapping[str, int], trained: Mapping[str, Any]) -> list[str]:
    """That classes are commoner here than in training, or rarer, or are not here at all."""
    total, new = sum(trained["labels"].values()), sum(counts.values())
    absent = [name for name, count in counts.items() if not count]
    found = [f"none of these is {some(absent)}: what speaks of it (AUC, its share of right calls) has no value"] * bool(
        absent
    )
    for name in cohort.classes:
        before, now = trained["labels"].get(name, 0) / total, counts[name] / new
        if abs(before - now) > 0.15:
            found.append(
                f"{name}: {now:.0%} of these and {before:.0%} of the training units, whose share calibration holds for"
            )
            break
    return found
