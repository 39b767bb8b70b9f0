"""Labelled new patients beside their scores: the numbers of an external validation, and intervals by patient."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from sklearn import config_context

from hage_transfer.apply.calibration import log_odds
from hage_transfer.apply.scores import Scores
from hage_transfer.compare.auc_bootstrap import auc_draws
from hage_transfer.compare.bootstrap import MIN_GROUPS, cluster_bootstrap
from hage_transfer.compare.classification import calibration_error, classification_metrics
from hage_transfer.data.labels import LabelTable, key_column, read_labels
from hage_transfer.errors import DataError, nearest, some
from hage_transfer.slide_names import match_names, slide_name

log = logging.getLogger(__name__)

EXTERNAL = "external"
"""Name of the one fold of an external validation."""
N_RESAMPLES = 1999
_FIT_RESAMPLES, _LEVEL = 199, 95.0
_LEAST_SPREAD = 0.05  # std of log odds below which probabilities are one and the same, and have no slope


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Labelled new units beside their scores, in the order of the scores.

    Attributes:
        table: rows of the label table, by unit.
        labels: class of each.
        groups: patient of each, as numbers; the unit itself where the table has no groups.
        probabilities: raw, mean over models.
        fitted: calibrated.
        called: place of the class that was called.
        doubtful: beyond the training range.
        classes: names.
        positive: of two classes, the one that sensitivity speaks of.
    """

    table: pd.DataFrame
    labels: Int[np.ndarray, " unit"]
    groups: Int[np.ndarray, " unit"]
    probabilities: Float[np.ndarray, "unit class"]
    fitted: Float[np.ndarray, "unit class"]
    called: Int[np.ndarray, " unit"]
    doubtful: Bool[np.ndarray, " unit"]
    classes: tuple[str, ...]
    positive: int | None

    def take(self, rows: np.ndarray) -> "Cohort":
        """Some units."""
        parts = {
            name: getattr(self, name)[rows]
            for name in ("labels", "groups", "probabilities", "fitted", "called", "doubtful")
        }
        return Cohort(
            table=self.table.iloc[rows].reset_index(drop=True), **parts, classes=self.classes, positive=self.positive
        )

    @cached_property
    def drawn(self) -> dict[str, Float[np.ndarray, " resample"]]:
        """What is fitted to units, fitted again to every draw of patients; NaN where it is not defined."""
        generator, names = np.random.default_rng(0), np.unique(self.groups)
        rows = {group: np.flatnonzero(self.groups == group) for group in names.tolist()}
        draws = [generator.choice(names, len(names)).tolist() for _ in range(_FIT_RESAMPLES)]
        with config_context(skip_parameter_validation=True):  # of scikit-learn's functions, half of what a draw takes
            found = [_fitted_again(self.take(np.concatenate([rows[group] for group in drawn]))) for drawn in draws]
        return {name: np.array([one[name] for one in found], dtype=np.float64) for name in found[0]}


def labelled_cohort(scores: Scores, path: Path) -> Cohort:
    """Scores beside a label table.

    Raises:
        DataError: no label table, no scored unit in it, or a label that is none of the classifier's classes.
    """
    labels = read_labels(path)
    classes = tuple(scores.facts["classes"])
    frame, rows = matched(scores, labels, path)
    _refuse_other(labels.labels[rows].tolist(), classes, path)
    groups = labels.keys if labels.groups is None else labels.groups
    positive = scores.facts["positive"]
    at = None if positive is None else classes.index(positive)
    return Cohort(
        table=columns_of(path, labels.keys[rows].tolist()),
        labels=np.array([classes.index(label) for label in labels.labels[rows].tolist()]),
        groups=np.unique(groups[rows], return_inverse=True)[1],
        probabilities=frame[[f"probability_{name}" for name in classes]].to_numpy(dtype=np.float64),
        fitted=_fitted(frame, classes, at),
        called=np.array([classes.index(call) for call in frame["call"]]),
        doubtful=frame["doubtful"].to_numpy(dtype=bool),
        classes=classes,
        positive=at,
    )


def refuse_labels(path: Path, names: Sequence[str], classes: Sequence[str]) -> None:
    """Refuses, before anything is scored, labels of some units that are none of the classes; errors as above."""
    labels = read_labels(path)
    found = match_names(names, labels.keys.tolist())
    _refuse_other(labels.labels[np.isin(labels.keys, list(found.values()))].tolist(), classes, path)


def _refuse_other(labels: Sequence[str], classes: Sequence[str], path: Path) -> None:
    other = sorted(set(labels) - set(classes))
    if other:
        raise DataError(
            f"{path}: label {some(other, 3)} is none of the classifier's classes ({', '.join(classes)}); write "
            "labels as these are, and leave out rows of other classes"
        )


def matched(scores: Scores, labels: LabelTable, path: Path) -> tuple[pd.DataFrame, Int[np.ndarray, " unit"]]:
    """The scored units that a label table has, and their rows in it.

    Raises:
        DataError: it has none.
    """
    frame = scores.frame()
    names = match_names(frame.iloc[:, 0].tolist(), labels.keys.tolist())
    frame = frame[frame.iloc[:, 0].isin(list(names))].reset_index(drop=True)
    if not len(frame):
        first = str(scores.frame().iloc[0, 0])
        near = some(nearest(first, labels.keys.tolist())) or "none"
        raise DataError(
            f"{path}: labels none of the {len(scores)} that were scored (first: {first}; nearest label: {near})"
        )
    place = {key: row for row, key in enumerate(labels.keys.tolist())}
    if unknown := sorted(set(place) - set(names.values())):
        log.warning(
            "%s: %d of %d rows are of nothing that was scored (first: %s)", path, len(unknown), len(labels), unknown[0]
        )
    return frame, np.array([place[names[name]] for name in frame.iloc[:, 0]])


def columns_of(path: Path, keys: list[str]) -> pd.DataFrame:
    """The table's own columns, of some rows by their keys."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns=lambda name: str(name).strip())
    key = key_column(path, list(table.columns)) or ""
    names = table[key].str.strip()
    return table.set_index(names if key == "key" else names.map(slide_name)).loc[keys].reset_index(drop=True)


def _fitted(frame: pd.DataFrame, classes: Sequence[str], positive: int | None) -> Float[np.ndarray, "unit class"]:
    if positive is None:
        return frame[[f"calibrated_{name}" for name in classes]].to_numpy(dtype=np.float64)
    of_positive = frame["calibrated"].to_numpy(dtype=np.float64)
    return np.stack([of_positive if place == positive else 1 - of_positive for place in range(2)], axis=1)


def measured(cohort: Cohort) -> dict[str, float | None]:
    """The metrics of some units; calls are those at the frozen threshold."""
    found = classification_metrics(cohort.labels, cohort.probabilities, positive=cohort.positive)
    values: dict[str, float | None] = {"auc": found["auc"], "accuracy": _share(cohort.called == cohort.labels)}
    if cohort.positive is not None:
        is_positive = cohort.labels == cohort.positive
        hit = cohort.called == cohort.positive
        values |= {"recall": _share(hit[is_positive]), "sensitivity": _share(hit[is_positive])}
        values["specificity"] = _share(~hit[~is_positive])
    return values | _fitted_again(cohort)


def _fitted_again(cohort: Cohort) -> dict[str, float | None]:
    """The metrics that no other way of drawing has."""
    values: dict[str, float | None] = {}
    if cohort.positive is None:
        values["recall"] = classification_metrics(cohort.labels, cohort.probabilities, positive=None)["recall"]
    else:
        values["slope"], values["intercept"] = _line(cohort)
    values["calibration_error"] = calibration_error(cohort.labels, cohort.fitted)
    return values | {"calibration_error_raw": calibration_error(cohort.labels, cohort.probabilities)}


def _share(right: Bool[np.ndarray, " unit"]) -> float | None:
    return float(right.mean()) if len(right) else None


def _line(cohort: Cohort) -> tuple[float | None, float | None]:
    """Calibration slope, and intercept at slope 1 (in the large), of the calibrated probabilities' log odds.

    Reference: Van Calster et al. 2019 (weak calibration); 1 and 0 are right.
    """
    from scipy.optimize import brentq
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    place = cohort.positive or 0
    odds, truth = log_odds(cohort.fitted[:, place]), cohort.labels == place
    if truth.all() or not truth.any() or odds.std() < _LEAST_SPREAD:
        return None, None
    slope = float(LogisticRegression(C=1e10, max_iter=1000).fit(odds[:, None], truth).coef_[0, 0])
    return slope, float(brentq(lambda shift: expit(odds + shift).mean() - truth.mean(), -50, 50))


def interval_of(name: str, cohort: Cohort) -> dict[str, float | None]:
    """95%, by drawing patients with all of their units; None where there are fewer than three."""
    nothing: dict[str, float | None] = {"low": None, "high": None}
    if len(np.unique(cohort.groups)) < MIN_GROUPS:
        return nothing
    is_positive = cohort.labels == cohort.positive
    rows = {"accuracy": slice(None), "sensitivity": is_positive, "recall": is_positive, "specificity": ~is_positive}
    if name == "auc":
        return ends_of(cohort_auc_draws(cohort))
    if name in rows and (name == "accuracy" or cohort.positive is not None):
        right = (cohort.called == cohort.labels)[rows[name]]
        if not len(right):
            return nothing
        found = cluster_bootstrap(right.astype(float), cohort.groups[rows[name]].tolist(), n_resamples=N_RESAMPLES)
        return nothing if found.low == found.high else {"low": found.low, "high": found.high}
    return ends_of(cohort.drawn[name])


def cohort_auc_draws(cohort: Cohort) -> Float[np.ndarray, " resample"]:
    """AUC of every draw of patients; the same draws for every classifier of the same units."""
    rows = {EXTERNAL: np.arange(len(cohort.labels))}
    return auc_draws(
        cohort.labels,
        [cohort.probabilities],
        rows,
        cohort.groups,
        positive=cohort.positive,
        n_resamples=N_RESAMPLES,
        seed=0,
    )


def ends_of(draws: Float[np.ndarray, " resample"]) -> dict[str, float | None]:
    """Both ends of the middle 95%; None where fewer than half of the draws have a value, or all have the same."""
    defined = draws[np.isfinite(draws)]
    if len(defined) < len(draws) / 2 or np.ptp(defined) == 0:
        return {"low": None, "high": None}
    low, high = np.percentile(defined, [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
    return {"low": float(low), "high": float(high)}
