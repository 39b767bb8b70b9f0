"""A target from the values of a table, and what its folds are stratified by."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError
from hage_transfer.targets.base import Target
from hage_transfer.targets.multilabel import MultiLabel
from hage_transfer.targets.ordinal import Ordinal
from hage_transfer.targets.regression import Regression
from hage_transfer.targets.settings import (
    MultiLabelSettings,
    OrdinalSettings,
    RegressionSettings,
    SurvivalSettings,
    ValueSettings,
)
from hage_transfer.targets.survival import Cox, Hazards

EVENT, CENSORED = "event", "censored"
MOST_GRADES = 50
_FEW_UNITS = 80
_RARE = 10


def make_target(
    settings: ValueSettings, values: Float[np.ndarray, "row value"], path: Path
) -> tuple[Target, Float[np.ndarray, "row value"]]:
    """The target, and its values: grades become their places.

    Raises:
        DataError: all rows are censored; all values are one; too many grades.
    """
    if isinstance(settings, RegressionSettings):
        if np.ptp(values) == 0:
            raise DataError(f"{path}: every {settings.column} is {values[0, 0]:g}, so there is nothing to predict")
        return Regression(huber=settings.loss == "huber"), values
    if isinstance(settings, MultiLabelSettings):
        return MultiLabel(settings.columns), values
    if isinstance(settings, OrdinalSettings):
        return _ordinal(settings, values, path)
    events = values[values[:, 1] > 0, 0]
    if not len(events):
        raise DataError(
            f"{path}: all {len(values)} rows are censored, so nothing is known of an event; look at target.event and "
            "target.censored (a column that is 1 for rows without an event)"
        )
    return _survival(settings, events), values


def strata(labels: LabelTable, target: Target, path: Path) -> np.ndarray:
    """What folds are stratified by: events, grades, the rarest label that is there, parts of a number's range.

    Where no row is censored, parts of the range of the times.
    """
    values = labels.values
    assert values is not None
    if target.kind == "survival" and (values[:, 1] == 0).any():
        return np.where(values[:, 1] > 0, EVENT, CENSORED)
    if isinstance(target, Ordinal):
        return np.array(target.grades)[values[:, 0].astype(int)]
    if isinstance(target, MultiLabel):
        return _rarest(values, target.names)
    units = len(values) if labels.groups is None else len(set(labels.groups.tolist()))
    parts = 4 if units >= _FEW_UNITS else 2
    numbers = values[:, 0]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, parts + 1)[1:-1]))
    places = np.searchsorted(edges, numbers, side="left")
    if len(np.unique(places)) < 2:
        places = (numbers > numbers.min()).astype(int)
    return np.array([f"part {place + 1} of its range" for place in places.tolist()])


def _ordinal(settings: OrdinalSettings, values: np.ndarray, path: Path) -> tuple[Target, np.ndarray]:
    there = np.unique(values)
    grades = settings.order or tuple(f"{value:g}" for value in there)
    if len(there) < 2 or len(grades) > MOST_GRADES:
        raise DataError(
            f"{path}: {settings.column} holds {len(there)} grades; wanted 2 to {MOST_GRADES} (target.order names them; "
            "a number: `target.kind: regression`?)"
        )
    return Ordinal(grades), values if settings.order else np.searchsorted(there, values).astype(float)


def _survival(settings: SurvivalSettings, events: Float[np.ndarray, " event"]) -> Target:
    deciles = np.quantile(events, np.linspace(0.1, 0.9, 9)).tolist()
    horizons = settings.horizons or tuple(sorted({float(f"{time:.4g}") for time in deciles} - {0.0}))
    if settings.loss == "cox":
        return Cox(horizons)
    return Hazards(horizons, bins=settings.bins, censored_weight=settings.censored_weight)


def _rarest(values: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The rarest label of each row; strata of few rows join the commonest, but the two commonest stay apart."""
    found = np.full(len(values), "none", dtype=object)
    for place in np.argsort(-np.nansum(values, axis=0), kind="stable"):
        found[values[:, place] == 1] = names[place]
    kinds, counts = np.unique(found.astype(str), return_counts=True)
    rare = set(kinds[counts < _RARE].tolist()) - set(kinds[np.argsort(-counts, kind="stable")[:2]].tolist())
    return np.array([kinds[counts.argmax()] if one in rare else one for one in found.tolist()])
