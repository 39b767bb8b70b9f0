"""What a classifier is worth: accuracy, AUC, recall, F1, calibration; on scikit-learn.

With two classes, AUC, recall and F1 speak of the positive class: the one that the config names, else the last in
sorted order of the names (of `benign, malignant` the second, of `0, 1` the one). With more, AUC is the mean over
classes of one against the rest, and recall and F1 are means over classes. Balanced accuracy is the mean recall over
classes, whatever their number. Results say in their meta which class was positive.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, recall_score, roc_auc_score

from hage_transfer.compare.records import finite
from hage_transfer.errors import ConfigError

METRICS = ("accuracy", "auc", "recall", "balanced_accuracy", "f1", "calibration_error")
CALIBRATION_BINS = 15


def positive_class(classes: Sequence[str], positive: str | None) -> int | None:
    """Place of the positive class in ``classes`` (sorted names); None with more than two classes.

    Raises:
        ConfigError: ``positive`` is no class, or is given where there are more than two; fewer than two classes.

    >>> positive_class(["benign", "malignant"], None)
    1
    """
    if len(classes) < 2:
        raise ConfigError(
            f"the labels hold one class alone ({', '.join(classes)}): a classifier needs two; look at the label table"
            " and at label_map"
        )
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
    labels: Int[np.ndarray, " batch"], probabilities: Float[np.ndarray, "batch class"], *, positive: int | None
) -> dict[str, float | None]:
    """The metrics of some test rows, in the range 0 to 1; see the module for their meaning.

    ``calibration_error`` is the expected calibration error of the predicted class: the mean, over 15 equal bins of
    its probability and weighted by their rows, of the distance between probability and share of right answers
    (Guo et al. 2017). Lower is better.

    Args:
        labels: true class of each row.
        probabilities: rows sum to 1; the predicted class is the one of highest probability.
        positive: of two classes, the one that AUC, recall and F1 speak of; None with more.

    Returns:
        ``METRICS`` in order; None where a metric is not defined (AUC where ``labels`` lack a class, recall and F1
        where the positive class is not among them).

    >>> labels, probabilities = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> found = classification_metrics(labels, probabilities, positive=1)
    >>> round(found["accuracy"], 3), found["auc"], found["recall"]
    (0.667, 1.0, 1.0)
    """
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": finite(accuracy_score(labels, predicted)),
        "auc": _auc(labels, probabilities, positive),
        "recall": _of_classes(recall_score, labels, predicted, probabilities.shape[1], positive),
        "balanced_accuracy": _of_classes(recall_score, labels, predicted, probabilities.shape[1], None),
        "f1": _of_classes(f1_score, labels, predicted, probabilities.shape[1], positive),
        "calibration_error": calibration_error(labels, probabilities),
    }


def calibration_error(
    labels: Int[np.ndarray, " batch"], probabilities: Float[np.ndarray, "batch class"]
) -> float | None:
    """Expected calibration error of the predicted class, 15 equal bins.

    >>> round(calibration_error(np.array([0, 1]), np.array([[0.9, 0.1], [0.1, 0.9]])), 3)
    0.1
    """
    return binary_calibration_error(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1))


def binary_calibration_error(truth: Bool[np.ndarray, " row"], probabilities: Float[np.ndarray, " row"]) -> float | None:
    """Expected calibration error of the probability of one label, 15 equal bins.

    >>> round(binary_calibration_error(np.array([False, True]), np.array([0.1, 0.9])), 3)
    0.1
    """
    said = probabilities.astype(np.float64).clip(0, 1)
    bins = np.searchsorted(np.linspace(0, 1, CALIBRATION_BINS + 1), said, side="right")
    return finite(np.abs(np.bincount(bins, weights=truth - said)).sum() / len(truth))


def per_class_rows(
    labels: Int[np.ndarray, " batch"], probabilities: Float[np.ndarray, "batch class"], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One row a class: precision, recall, F1, AUC against the rest, and how many rows are of it."""
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=range(len(classes)), zero_division=0
    )
    rows = []
    for number, name in enumerate(classes):
        own = labels == number
        auc = roc_auc_score(own, probabilities[:, number]) if 0 < own.sum() < len(own) else None
        rows.append(
            {
                "class": name,
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
                "auc": None if auc is None else float(auc),
                "rows": int(support[number]),
            }
        )
    return rows


def _auc(labels: np.ndarray, probabilities: np.ndarray, positive: int | None) -> float | None:
    n_classes = probabilities.shape[1]
    if len(np.unique(labels)) < n_classes:
        return None
    wanted = range(n_classes) if positive is None else (positive,)
    return finite(float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in wanted])))


def _of_classes(
    score: Callable[..., float], labels: np.ndarray, predicted: np.ndarray, n_classes: int, positive: int | None
) -> float | None:
    """A score of the positive class, or its mean over all classes where none is positive."""
    if positive is not None:
        return finite(score(labels == positive, predicted == positive)) if (labels == positive).any() else None
    if len(np.unique(labels)) < n_classes:
        return None
    return finite(score(labels, predicted, average="macro"))
