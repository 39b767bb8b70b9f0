"""Hyperparameters of the references, chosen by leaving parts of the training sections out."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.model_selection import GroupKFold, KFold

from hage_transfer.errors import SplitError
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.score import section_pcc

ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 6, 13))
"""Of ridge: up to 1e6, since across patients strong shrinkage wins."""
Positions = Int[np.ndarray, " _"]
"""Some rows of the training spots."""
Setting = tuple[float, ...]
Predictions = Iterable[tuple[Setting, Float[np.ndarray, "spot gene"]]]


def held_out_parts(train: Spots, *, unit: str) -> list[tuple[Positions, Positions]]:
    """Rows to fit on and rows held out, for ridge's alpha and every other hyperparameter.

    Parts are left out as the test is: whole patients where ``unit`` is ``patient`` and two or more train, else
    sections, up to five groups of either; with a single section, fifths of its spots in order.
    """
    names = np.array(train.patient if unit == "patient" and len(set(train.patient)) > 1 else train.section_names)
    groups = names[train.section]
    n_groups = len(set(names.tolist()))
    if n_groups > 1:
        return list(GroupKFold(min(5, n_groups)).split(train.features, groups=groups))
    return list(KFold(5).split(train.features))


def choose(train: Spots, predict: Callable[[Positions, Positions], Predictions], *, unit: str) -> tuple[Setting, float]:
    """The setting of best PCC, and its mean PCC over the held-out parts; the first of equals.

    Args:
        train: the training sections.
        predict: given rows to fit on and rows to predict, yields predictions under every setting.
        unit: ``patient`` or ``section``.

    Raises:
        SplitError: no part leaves enough spots to fit on.
    """
    scores: dict[Setting, list[float]] = {}
    for fitted, held_out in held_out_parts(train, unit=unit):
        target, section = train.target[held_out], train.section[held_out]
        for setting, predicted in predict(fitted, held_out):
            scores.setdefault(setting, []).append(section_pcc(predicted, target, section))
    if not scores:
        raise SplitError(f"{len(train)} training spots are too few to choose hyperparameters on; add sections")
    means = means_over_parts(scores)
    best = max(means, key=lambda setting: means[setting])
    return best, means[best]


def means_over_parts(scores: Mapping[Setting, Sequence[float]]) -> dict[Setting, float]:
    """Mean score of each setting that every part has one of."""
    n_parts = max(len(values) for values in scores.values())
    return {setting: float(np.mean(values)) for setting, values in scores.items() if len(values) == n_parts}
