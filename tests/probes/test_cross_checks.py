"""Logistic regression, nearest neighbours, nearest class mean: against scikit-learn, fold by fold."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch.nn import functional

from hage_transfer.errors import SplitError
from hage_transfer.probes import directions, neighbours
from hage_transfer.probes.class_mean import class_mean_probabilities
from hage_transfer.probes.lockstep import in_lockstep
from hage_transfer.probes.logistic import train_logistic
from hage_transfer.probes.neighbours import neighbour_probabilities

N, WIDTH, CLASSES = 400, 12, 3


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    labels = generator.integers(CLASSES, size=N)
    features = generator.normal(size=(N, WIDTH)) * np.linspace(0.3, 3, WIDTH) + 5
    features[np.arange(N), labels] += 1.0
    training = np.arange(4)[:, None] != (np.arange(N) % 4)[None]
    return features.astype(np.float32), labels, training


def unit(rows, training):
    standardised = (rows - rows[training].mean(axis=0)) / rows[training].std(axis=0)
    return standardised / np.linalg.norm(standardised, axis=1, keepdims=True)


@pytest.mark.slow
def test_train_logistic_equals_scikit_learns(data):
    features, labels, training = data
    fitted = train_logistic(features, labels, training, n_classes=CLASSES, tolerance=1e-6)
    found = fitted.probabilities(features, ~training)
    for fold, own in enumerate(training):
        model = LogisticRegression(C=WIDTH * CLASSES / 100, tol=1e-8, max_iter=5000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features[own].astype(np.float64), labels[own])
        np.testing.assert_allclose(found[fold, ~own], model.predict_proba(features[~own]), atol=2e-3)


def test_train_logistic_of_two_classes_is_scikit_learns_with_twice_the_c(data):
    features, labels, training = data
    labels = labels % 2
    found = train_logistic(features, labels, training[:1], n_classes=2, tolerance=1e-6)
    own, cost = training[0], WIDTH * 2 / 100
    shares = found.probabilities(features, ~training[:1])[0, ~own]
    apart = {}
    for factor in (0.5, 1, 2):
        model = LogisticRegression(C=factor * cost, tol=1e-8, max_iter=5000).fit(
            features[own].astype(float), labels[own]
        )
        apart[factor] = np.abs(shares - model.predict_proba(features[~own])).max()
    assert apart[2] < 2e-3
    assert min(apart[0.5], apart[1]) > 5 * apart[2]


def test_train_logistic_of_the_norm_has_no_slope_at_its_minimum(data):
    features, labels, training = data
    strong = features.copy()
    strong[np.arange(N), labels] += 4.0
    found = train_logistic(strong, labels, training[:1], n_classes=CLASSES, penalty="norm", tolerance=1e-6)
    own = training[0]
    rows = torch.from_numpy(strong[own]).double() - found.shift
    weights, biases = (part[0].double().requires_grad_() for part in (found.weights, found.biases))
    loss = functional.cross_entropy(rows @ weights.T + biases, torch.from_numpy(labels[own]))
    (loss + weights.norm() / (2 * WIDTH * CLASSES / 100)).backward()
    assert float(weights.detach().norm()) > 0.1
    assert float(weights.grad.abs().max()) < 1e-3
    assert float(biases.grad.abs().max()) < 1e-3


def test_train_logistic_in_lockstep_equals_each_fold_alone(data):
    features, labels, training = data
    options = {"n_classes": CLASSES, "max_iterations": 15}  # the path, before rounding decides where it ends
    together = train_logistic(features, labels, training, **options)
    for fold in range(len(training)):
        alone = train_logistic(features, labels, training[[fold]], **options)
        torch.testing.assert_close(together.weights[fold], alone.weights[0], rtol=1e-3, atol=1e-4)


def test_train_logistic_refuses_a_fold_without_rows(data):
    features, labels, training = data
    empty = training.copy()
    empty[1] = False
    with pytest.raises(SplitError, match="fold 1 has no row"):
        train_logistic(features, labels, empty, n_classes=CLASSES)


def test_in_lockstep_answers_all_that_still_run_together():
    seen = []

    def search(number, ask):
        return [ask(step) for step in range(number + 1)]

    def evaluate(points):
        seen.append(sorted(points))
        return {number: 10 * number + point for number, point in points.items()}

    assert in_lockstep(3, search, evaluate) == [[0], [10, 11], [20, 21, 22]]
    assert seen == [[0, 1, 2], [1, 2], [2]]


def test_in_lockstep_hands_on_the_error_of_the_evaluation():
    def evaluate(points):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        in_lockstep(3, lambda number, ask: ask(number), evaluate)


def test_in_lockstep_hands_on_the_error_of_a_search():
    def search(number, ask):
        if number == 1:
            raise ValueError("broken search")
        return ask(number)

    with pytest.raises(ValueError, match="broken search"):
        in_lockstep(3, search, dict)


def test_neighbour_probabilities_equal_scikit_learns(data, monkeypatch):
    monkeypatch.setattr(neighbours, "QUERY_ROWS", 30)
    monkeypatch.setattr(neighbours, "TRAINING_ROWS", 37)
    features, labels, training = data
    found = neighbour_probabilities(features, labels, training, ~training, n_classes=CLASSES, k=20)
    for fold, own in enumerate(training):
        rows = unit(features.astype(np.float64), own)
        expected = KNeighborsClassifier(20).fit(rows[own], labels[own]).predict_proba(rows[~own])
        np.testing.assert_allclose(found[fold, ~own], expected, atol=1e-6)
    assert np.isnan(found[training]).all()


def test_neighbour_probabilities_take_all_rows_where_there_are_fewer_than_k(data):
    features, labels, training = data
    few = np.zeros_like(training[:1])
    few[0, :7] = True
    found = neighbour_probabilities(features, labels, few, ~few, n_classes=CLASSES, k=20)
    shares = np.bincount(labels[:7], minlength=CLASSES) / 7
    np.testing.assert_allclose(found[0, 7:], np.tile(shares, (N - 7, 1)), atol=1e-6)


def test_class_mean_probabilities_choose_scikit_learns_class(data):
    features, labels, training = data
    found = class_mean_probabilities(features, labels, training, ~training, n_classes=CLASSES)
    for fold, own in enumerate(training):
        rows = unit(features.astype(np.float64), own)
        expected = NearestCentroid().fit(rows[own], labels[own]).predict(rows[~own])
        np.testing.assert_array_equal(found[fold, ~own].argmax(axis=1), expected)


@pytest.mark.parametrize("classifier", [neighbour_probabilities, class_mean_probabilities])
def test_cross_checks_change_nothing_where_rows_change_places(data, classifier):
    features, labels, training = data
    order = np.random.default_rng(1).permutation(N)
    one = classifier(features, labels, training, ~training, n_classes=CLASSES)
    moved = np.ascontiguousarray(training[:, order])
    other = classifier(features[order], labels[order], moved, ~moved, n_classes=CLASSES)
    np.testing.assert_allclose(one[:, order], other, atol=1e-5)


@pytest.mark.parametrize("classifier", [neighbour_probabilities, class_mean_probabilities])
def test_cross_checks_give_no_gain_to_a_source_that_only_standardises(data, classifier):
    features, labels, training = data
    one = classifier(features, labels, training, ~training, n_classes=CLASSES)
    scaled = (features * np.logspace(-2, 2, WIDTH) + np.arange(WIDTH)).astype(np.float32)
    other = classifier(scaled, labels, training, ~training, n_classes=CLASSES)
    assert np.abs(one - other)[~training].mean() < 2e-3


@pytest.mark.parametrize("classifier", [neighbour_probabilities, class_mean_probabilities])
def test_cross_checks_leave_out_a_feature_that_is_constant_where_they_train(data, classifier):
    features, labels, training = data
    wider = np.concatenate([features, np.full((N, 1), 7.0, np.float32)], axis=1)
    wider[~training[0], -1] = 1e6
    one = classifier(features, labels, training[:1], ~training[:1], n_classes=CLASSES)
    other = classifier(wider, labels, training[:1], ~training[:1], n_classes=CLASSES)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("classifier", [neighbour_probabilities, class_mean_probabilities])
def test_cross_checks_change_nothing_but_the_column_where_classes_are_renamed(data, classifier):
    features, labels, training = data
    renamed = np.array([2, 0, 1])
    one = classifier(features, labels, training, ~training, n_classes=CLASSES)
    other = classifier(features, renamed[labels], training, ~training, n_classes=CLASSES)
    np.testing.assert_allclose(one[~training], other[~training][:, renamed], atol=1e-6)


def test_directions_are_of_length_one_about_the_training_rows(data):
    features, _, training = data
    from hage_transfer.probes.rows import LabelledFeatures

    rows = LabelledFeatures.of(features)
    (scale,) = directions.training_scales(rows, training[:1], device="cpu")
    found = directions.directions(rows, np.arange(N), scale).numpy()
    np.testing.assert_allclose(found, unit(features, training[0]), atol=1e-5)
