"""Metrics of classifiers against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.compare.classification import classification_metrics, per_class_rows, positive_class
from hage_transfer.compare.out_of_fold import OutOfFold, classification_records, write_predictions
from hage_transfer.compare.records import MEAN, STD
from hage_transfer.compare.results import Results
from hage_transfer.errors import ConfigError


def of_positive(scores):
    return np.stack([1 - np.array(scores), np.array(scores)], axis=1)


def test_classification_metrics_equal_the_hand_count():
    # positives score .9 .4, negatives .5 .3 .6: of 6 pairs the positive is above in 3 + 1.
    scores = classification_metrics(np.array([1, 1, 0, 0, 0]), of_positive([0.9, 0.4, 0.49, 0.3, 0.6]), positive=1)
    # Predicted: 1 0 0 0 1, so one of two positives and two of three negatives are right, and one of two positives true.
    # Confidence less right, one row a bin: .9-1, .6-0, .51-1, .7-1, .6-0, but that .6 .6 share one.
    gaps = 0.1 + 0.49 + 0.3 + 2 * 0.6
    expected = {"accuracy": 3 / 5, "auc": 4 / 6, "recall": 1 / 2, "balanced_accuracy": (1 / 2 + 2 / 3) / 2, "f1": 1 / 2}
    assert scores == pytest.approx(expected | {"calibration_error": gaps / 5}, abs=1e-6)


def test_classification_metrics_of_the_other_class_swap_recall():
    labels, probabilities = np.array([1, 1, 0, 0, 0]), of_positive([0.9, 0.4, 0.49, 0.3, 0.6])
    one, other = (classification_metrics(labels, probabilities, positive=c) for c in (1, 0))
    assert other["recall"] == pytest.approx(2 / 3)
    assert other["auc"] == pytest.approx(one["auc"])


def test_classification_metrics_of_three_classes_are_means_over_classes():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    scores = classification_metrics(np.array([0, 1, 1, 2]), probabilities, positive=None)
    recall = (1 + 1 / 2 + 1) / 3
    assert scores["accuracy"] == pytest.approx(3 / 4)
    assert scores["auc"] == pytest.approx(1.0)
    assert scores["recall"] == scores["balanced_accuracy"] == pytest.approx(recall)
    assert scores["f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_classification_metrics_are_undefined_without_the_class():
    scores = classification_metrics(np.array([0, 0]), of_positive([0.2, 0.6]), positive=1)
    assert scores["accuracy"] == 0.5
    assert [scores[name] for name in ("auc", "recall", "balanced_accuracy", "f1")] == [None] * 4


def test_calibration_error_is_zero_where_shares_are_right():
    labels = np.array([1] * 8 + [0] * 2 + [0] * 6 + [1] * 4)
    scores = of_positive([0.8] * 10 + [0.4] * 10)
    assert classification_metrics(labels, scores, positive=1)["calibration_error"] == pytest.approx(0, abs=1e-6)


@settings(deadline=None, max_examples=25)  # the first call imports torch
@given(st.permutations(range(3)), st.integers(0, 5))
def test_classification_metrics_do_not_depend_on_the_order_of_classes(order, seed):
    generator = np.random.default_rng(seed)
    labels, scores = np.arange(30) % 3, generator.dirichlet(np.ones(3), size=30)
    order = np.array(order)
    one = classification_metrics(labels, scores, positive=None)
    other = classification_metrics(np.argsort(order)[labels], scores[:, order], positive=None)
    assert one == pytest.approx(other)


def test_per_class_rows_count_every_class():
    labels, scores = np.array([0, 1, 1, 2]), np.eye(4)[[0, 1, 0, 2]][:, :3] * 0.8 + 0.05
    rows = per_class_rows(labels, scores, ["a", "b", "c"])
    assert [row["rows"] for row in rows] == [1, 2, 1]
    assert [row["precision"] for row in rows] == [0.5, 1.0, 1.0]
    assert [row["recall"] for row in rows] == [1.0, 0.5, 1.0]


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


def test_one_class_alone_is_refused():
    with pytest.raises(ConfigError, match=r"one class alone \(x\): a classifier needs two"):
        positive_class(["x"], None)
