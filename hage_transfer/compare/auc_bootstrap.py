"""Bootstrap intervals of an AUC by group: groups are drawn again, with all of their rows."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

MAX_GROUPS = 2000
"""Past as many groups, pairs of groups do not fit in memory, and normal theory is as good."""


def auc_draws(
    labels: Int[np.ndarray, " row"],
    trials: Sequence[Float[np.ndarray, "row class"]],
    test_rows: Mapping[str, Int[np.ndarray, " test"]],
    groups: Int[np.ndarray, " row"],
    *,
    positive: int | None,
    n_resamples: int,
    seed: int,
) -> Float[np.ndarray, " resample"]:
    """AUC (mean over trials, then folds) of every draw of groups; NaN where no fold of a draw holds every class.

    Groups are drawn from the whole set, as many as there are, not fold by fold: a fold of two groups would be drawn
    with half its variance. A fold that is left without a class is left out of that draw. The same seed draws the same
    groups, so that the draws of two sources may be subtracted. The AUC of a draw comes from the counts of rightly
    ordered pairs between every two groups, so it is exact and costs little.

    Args:
        labels: class of every row.
        trials: probabilities of one source, one array a trial.
        test_rows: each fold's test rows; a fold without every class is left out.
        groups: of every row, as numbers.
        positive: of two classes, the one that AUC speaks of; None: mean over classes of one against the rest.
        n_resamples: draws.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    n_classes = trials[0].shape[1]
    wanted = range(n_classes) if positive is None else (positive,)
    units = np.unique(groups[np.concatenate(list(test_rows.values()))])
    weights = generator.multinomial(len(units), np.full(len(units), 1 / len(units)), size=n_resamples)
    of_folds = []
    for rows in test_rows.values():
        if len(np.unique(labels[rows])) < n_classes:
            continue
        own, places = np.unique(groups[rows], return_inverse=True)
        own_weights = weights[:, np.searchsorted(units, own)].astype(np.float64)
        draws = [
            _weighted_auc(labels[rows] == number, scores[rows, number], places, own_weights)
            for scores in trials
            for number in wanted
        ]
        of_folds.append(np.mean(draws, axis=0))
    if not of_folds:
        return np.full(n_resamples, np.nan)
    values = np.stack(of_folds)
    defined = np.isfinite(values)
    counts = defined.sum(axis=0)
    return np.divide(
        np.where(defined, values, 0).sum(axis=0), counts, out=np.full(n_resamples, np.nan), where=counts > 0
    )


def _weighted_auc(
    is_positive: np.ndarray, scores: np.ndarray, places: np.ndarray, weights: Float[np.ndarray, "resample group"]
) -> Float[np.ndarray, " resample"]:
    pairs = _ordered_pairs(is_positive, scores, places, weights.shape[1])
    positives = np.bincount(places[is_positive], minlength=weights.shape[1])
    negatives = np.bincount(places[~is_positive], minlength=weights.shape[1])
    right = ((weights @ pairs) * weights).sum(axis=1)
    all_pairs = (weights @ positives) * (weights @ negatives)
    return np.divide(right, all_pairs, out=np.full(len(weights), np.nan), where=all_pairs > 0)


def _ordered_pairs(
    is_positive: np.ndarray, scores: np.ndarray, places: np.ndarray, n_groups: int
) -> Float[np.ndarray, "group group"]:
    """Pairs of a positive of group g (row) and a negative of group h (column) in the right order; a tie is half."""
    own, own_places = scores[is_positive], places[is_positive]
    pairs = np.zeros((n_groups, n_groups))
    for other in range(n_groups):
        against = np.sort(scores[~is_positive & (places == other)])
        below = (np.searchsorted(against, own, side="left") + np.searchsorted(against, own, side="right")) / 2
        pairs[:, other] = np.bincount(own_places, weights=below, minlength=n_groups)
    return pairs
