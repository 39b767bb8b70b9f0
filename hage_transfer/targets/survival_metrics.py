"""What a survival model is worth, by scikit-survival (the extra `survival`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hage_transfer.errors import ConfigError, install_extra


def check_installed() -> None:
    """Raises ConfigError where scikit-survival is not there."""
    try:
        import sksurv  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"target.kind survival needs scikit-survival: {install_extra('survival')} (it is under the GPL)"
        ) from None


def outcome(values: Float[np.ndarray, "unit 2"]) -> np.ndarray:
    """Time and event in scikit-survival's form."""
    from sksurv.util import Surv

    return Surv.from_arrays(values[:, 1] > 0, values[:, 0])


def survival_metrics(
    values: Float[np.ndarray, "unit 2"],
    scores: Float[np.ndarray, "unit score"],
    horizons: Sequence[float],
    *,
    training: Float[np.ndarray, "train 2"],
) -> dict[str, float | None]:
    """Harrell's and Uno's C, mean AUC over the horizons, integrated Brier score.

    All but Harrell's weigh by the censoring of the training rows, and look at the horizons inside both follow-ups
    (``inside``): times past the last of them are censored there, which changes none of these numbers.

    Args:
        values: time and event.
        scores: risk, and survival at every horizon.
        horizons: ascending.
        training: time and event of the fold's training units; empty: Harrell's alone.
    """
    found: dict[str, float | None] = dict.fromkeys(("c_index", "c_index_ipcw", "time_auc", "integrated_brier"))
    if len(values) < 2 or not _comparable(values):
        return found
    from sksurv import metrics

    risk = scores[:, 0]
    found["c_index"] = float(metrics.concordance_index_censored(values[:, 1] > 0, values[:, 0], risk)[0])
    kept, tau = inside(values, horizons, training)
    if not kept.any():
        return found
    train, test = outcome(training), outcome(ended_at(values, tau))
    times = np.asarray(horizons)[kept]
    if ((values[:, 1] > 0) & (values[:, 0] < times[-1])).any():
        found["c_index_ipcw"] = float(metrics.concordance_index_ipcw(train, test, risk, tau=times[-1])[0])
    by_time = [t for t in times if ((values[:, 1] > 0) & (values[:, 0] <= t)).any()]
    if by_time:
        found["time_auc"] = float(metrics.cumulative_dynamic_auc(train, test, risk, by_time)[1])
    if len(times) > 1:
        survival = scores[:, 1:][:, kept]
        found["integrated_brier"] = float(metrics.integrated_brier_score(train, test, survival, times))
    return found


def horizon_rows(
    values: np.ndarray, scores: np.ndarray, horizons: Sequence[float], *, training: np.ndarray
) -> list[dict[str, Any]]:
    """AUC, Brier score, and the share that survives (predicted, observed) at each horizon inside both follow-ups."""
    from sksurv import metrics

    kept, tau = inside(values, horizons, training)
    if not kept.any():
        return []
    train, test = outcome(training), outcome(ended_at(values, tau))
    rows = []
    for place in np.flatnonzero(kept).tolist():
        time = horizons[place]
        brier = metrics.brier_score(train, test, scores[:, [1 + place]], [time])[1][0]
        has_case = bool(((values[:, 1] > 0) & (values[:, 0] <= time)).any())
        auc = metrics.cumulative_dynamic_auc(train, test, scores[:, 0], [time])[0][0] if has_case else None
        row = {"time": time, "brier": float(brier), "auc": None if auc is None else float(auc)}
        both = {"predicted": float(scores[:, 1 + place].mean()), "observed": survival_at(values, time)}
        rows.append({**row, **both, "left": int((values[:, 0] > time).sum())})
    return rows


def survival_at(values: Float[np.ndarray, "unit 2"], time: float) -> float:
    """Kaplan and Meier's share that has no event by a time."""
    from sksurv.nonparametric import kaplan_meier_estimator

    steps, shares = kaplan_meier_estimator(values[:, 1] > 0, values[:, 0])
    place = int(np.searchsorted(steps, time, side="right"))
    return float(shares[place - 1]) if place else 1.0


def inside(values: np.ndarray, horizons: Sequence[float], training: np.ndarray) -> tuple[np.ndarray, float]:
    """Which horizons lie inside the follow-up of test and training units, and where it ends for both."""
    times = np.asarray(horizons, dtype=np.float64)
    if not len(training):
        return np.zeros(len(times), dtype=bool), 0.0
    censored = training[training[:, 1] == 0, 0]
    longest = training[:, 0].max()
    end = min(
        values[:, 0].max(), longest if not len(censored) or censored.max() < longest else np.nextafter(longest, 0)
    )
    return (times >= values[:, 0].min()) & (times < end), float(end)


def ended_at(values: np.ndarray, tau: float) -> np.ndarray:
    """The same, censored at ``tau`` where follow-up goes on."""
    past = values[:, 0] > tau
    return np.column_stack([np.minimum(values[:, 0], tau), np.where(past, 0, values[:, 1])])


def _comparable(values: np.ndarray) -> bool:
    """Whether an event comes before the end of another unit's time."""
    events = values[values[:, 1] > 0, 0]
    return bool(len(events)) and bool(
        (values[:, 0] > events.min()).any() or (values[values[:, 1] == 0, 0] >= events.min()).any()
    )
