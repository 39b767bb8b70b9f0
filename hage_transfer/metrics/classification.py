"""Accuracy, AUC and recall of a classifier, on scikit-learn.

With two classes, AUC and recall speak of the positive class: the one that the config names, else the last in sorted
order of the names (of `benign, malignant` the second, of `0, 1` the one). With more, AUC is the mean over classes of
one against the rest, and recall the mean over classes. Results say in their meta which class was positive.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from hage_transfer.errors import ConfigError
from hage_transfer.results import finite

METRICS = ("accuracy", "auc", "recall")


def positive_class(classes: Sequence[str], positive: str | None) -> int | None:
    """Place of the positive class in ``classes`` (sorted names); None with more than two classes.

    Raises:
        ConfigError: ``positive`` is no class, or is given where there are more than two.
    """
    if len(classes) > 2:
        if positive is not None:
            raise ConfigError(
                f"positive = {positive}: has no meaning with {len(classes)} classes, where AUC and recall are means "
                "over classes; leave it out"
            )
        return None
    if positive is None:
        return len(classes) - 1
    if positive not in classes:
        raise ConfigError(f"positive = {positive}: no such class; the labels are {', '.join(classes)}")
    return list(classes).index(positive)


def classification_metrics(
    labels: Int[np.ndarray, "batch"], probabilities: Float[np.ndarray, "batch class"], *, positive: int | None
) -> dict[str, float | None]:
    """Accuracy, AUC and recall, in the range 0 to 1; see the module for their meaning.

    Args:
        labels: true class of each row.
        probabilities: rows sum to 1; the predicted class is the one of highest probability.
        positive: of two classes, the one that AUC and recall speak of; None with more.

    Returns:
        ``METRICS`` in order; None where a metric is not defined (AUC where ``labels`` lack a class, recall where
        the positive class is not among them).
    """
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": finite(accuracy_score(labels, predicted)),
        "auc": _auc(labels, probabilities, positive),
        "recall": _recall(labels, predicted, probabilities.shape[1], positive),
    }


def _auc(labels: np.ndarray, probabilities: np.ndarray, positive: int | None) -> float | None:
    n_classes = probabilities.shape[1]
    if len(np.unique(labels)) < n_classes:
        return None
    wanted = range(n_classes) if positive is None else (positive,)
    return finite(float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in wanted])))


def _recall(labels: np.ndarray, predicted: np.ndarray, n_classes: int, positive: int | None) -> float | None:
    if positive is not None:
        return finite(recall_score(labels == positive, predicted == positive)) if (labels == positive).any() else None
    if len(np.unique(labels)) < n_classes:
        return None
    return finite(recall_score(labels, predicted, average="macro"))
