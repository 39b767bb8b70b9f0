"""Metrics of classifiers against closed forms."""

import numpy as np
import pytest

from hage_transfer.errors import ConfigError
from hage_transfer.metrics.classification import classification_metrics, positive_class
from hage_transfer.metrics.out_of_fold import OutOfFold, classification_records, write_predictions
from hage_transfer.results import MEAN, STD, Results


def of_positive(scores):
    return np.stack([1 - np.array(scores), np.array(scores)], axis=1)


def test_classification_metrics_equal_the_hand_count():
    # positives score .9 .4, negatives .5 .3 .6: of 6 pairs the positive is above in 3 + 1.
    scores = classification_metrics(np.array([1, 1, 0, 0, 0]), of_positive([0.9, 0.4, 0.49, 0.3, 0.6]), positive=1)
    assert scores == pytest.approx({"accuracy": 3 / 5, "auc": 4 / 6, "recall": 1 / 2})


def test_classification_metrics_of_the_other_class_swap_recall():
    labels, probabilities = np.array([1, 1, 0, 0, 0]), of_positive([0.9, 0.4, 0.49, 0.3, 0.6])
    one, other = (classification_metrics(labels, probabilities, positive=c) for c in (1, 0))
    assert other["recall"] == pytest.approx(2 / 3)
    assert other["auc"] == pytest.approx(one["auc"])


def test_classification_metrics_of_three_classes_are_means_over_classes():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    scores = classification_metrics(np.array([0, 1, 1, 2]), probabilities, positive=None)
    assert scores == pytest.approx({"accuracy": 3 / 4, "auc": 1.0, "recall": (1 + 1 / 2 + 1) / 3})


def test_classification_metrics_are_undefined_without_the_class():
    scores = classification_metrics(np.array([0, 0]), of_positive([0.2, 0.6]), positive=1)
    assert scores == {"accuracy": 0.5, "auc": None, "recall": None}


def test_positive_class_is_the_last_in_sorted_order_or_the_named():
    assert positive_class(("benign", "malignant"), None) == 1
    assert positive_class(("benign", "malignant"), "benign") == 0
    assert positive_class(("a", "b", "c"), None) is None


@pytest.mark.parametrize(("classes", "message"), [(("a", "b"), "the labels are a, b"), (("a", "b", "c"), "3 classes")])
def test_positive_class_refuses_an_unknown_name(classes, message):
    with pytest.raises(ConfigError, match=message):
        positive_class(classes, "malignant")


def test_classification_records_average_trials_in_each_fold():
    labels = np.array([0, 1, 0, 1])
    right, wrong = of_positive([0.1, 0.9, 0.2, 0.8]), of_positive([0.9, 0.1, 0.2, 0.8])
    predictions = [OutOfFold("frozen", None, right), OutOfFold("hage", 0, right), OutOfFold("hage", 1, wrong)]
    records = classification_records(
        predictions, task="probe", labels=labels, test_rows={"0": np.array([0, 1]), "1": np.array([2, 3])}, positive=1
    )
    results = Results(records)
    assert results.value(source="hage", trial=None, fold="0", metric="auc") == 0.5
    assert results.value(source="hage", trial=None, fold=MEAN, metric="auc") == 0.75
    assert results.value(source="hage", trial=None, fold=STD, metric="auc") == pytest.approx(0.5 / 2**0.5)
    assert results.value(source="hage", trial=1, fold=MEAN, metric="auc") == 0.5
    assert results.value(source="frozen", trial=None, fold=MEAN, metric="auc") == 1.0


def test_write_predictions_has_a_row_per_source_and_key(tmp_path):
    write_predictions(
        tmp_path / "predictions.csv",
        [OutOfFold("hage", 1, of_positive([0.25, 0.75]))],
        key_column="slide",
        keys=["s1", "s2"],
        labels=np.array([0, 0]),
        classes=("benign", "malignant"),
        test_rows={"0": np.array([1]), "1": np.array([0])},
    )
    assert (tmp_path / "predictions.csv").read_text().splitlines() == [
        "source,trial,slide,fold,label,predicted,probability_benign,probability_malignant",
        "hage,1,s1,1,benign,benign,0.75,0.25",
        "hage,1,s2,0,benign,malignant,0.25,0.75",
    ]
