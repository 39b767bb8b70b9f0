"""The linear probe: folds trained together are folds trained alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hage_transfer.errors import SplitError
from hage_transfer.probes.linear import EPS, train_probes


def rows(n=120, n_features=6, n_classes=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(n_classes, size=n)
    centres = generator.normal(size=(n_classes, n_features)) * 2
    features = centres[labels] + generator.normal(size=(n, n_features))
    return (features * [1, 10, 0.1, 1, 5, 1] + 100.0).astype(np.float32), labels


def fold_masks(n, n_folds=4):
    return np.arange(n_folds)[:, None] != (np.arange(n) % n_folds)[None]


def test_train_probes_together_equals_each_fold_alone():
    features, labels = rows()
    training = fold_masks(len(labels))
    training[2] = False
    training[2, :5] = True  # most batches hold no row of this fold
    options = {"n_classes": 3, "epochs": 5, "batch_size": 7, "learning_rate": 1e-2, "seed": 3}
    together = train_probes(features, labels, training, **options)
    for fold in range(len(training)):
        alone = train_probes(features, labels, training[[fold]], **options)
        torch.testing.assert_close(together.weights[fold], alone.weights[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.biases[fold], alone.biases[0], rtol=1e-4, atol=1e-5)


def test_train_probes_equals_a_plain_loop_over_the_folds_own_rows():
    features, labels = rows()
    training = fold_masks(len(labels))[:2]
    training[1, 20:] = False
    found = train_probes(features, labels, training, n_classes=3, epochs=3, batch_size=16, learning_rate=1e-2, seed=5)
    for fold, kept in enumerate(training):
        own = features[kept].astype(np.float64)
        mean, std = torch.tensor(own.mean(0)).float(), torch.tensor(own.std(0)).float()
        generator = torch.Generator().manual_seed(5)
        layer = torch.nn.Linear(6, 3)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimiser = torch.optim.AdamW(
            [{"params": [layer.weight], "weight_decay": 0.01}, {"params": [layer.bias], "weight_decay": 0.0}],
            lr=1e-2,
            eps=EPS,
        )
        for _ in range(3):
            order = torch.randperm(len(features), generator=generator).numpy()
            for start in range(0, len(order), 16):
                batch = [row for row in order[start : start + 16] if kept[row]]
                if not batch:
                    continue
                optimiser.zero_grad()
                inputs = (torch.from_numpy(features[batch]) - mean) / std
                functional.cross_entropy(layer(inputs), torch.from_numpy(labels[batch])).backward()
                optimiser.step()
        expected = layer((torch.from_numpy(features) - mean) / std).softmax(dim=1).detach().numpy()
        everywhere = np.ones_like(training)
        np.testing.assert_allclose(found.probabilities(features, everywhere)[fold], expected, atol=2e-4)


def test_train_probes_standardise_each_fold_by_its_training_rows():
    features, labels = rows()
    training = fold_masks(len(labels))
    scaled = features.copy()
    scaled[~training[0]] += 1e4  # the first fold's test rows
    options = {"n_classes": 3, "epochs": 2, "batch_size": 32, "seed": 1}
    one, other = (train_probes(x, labels, training[[0]], **options) for x in (features, scaled))
    own = training[[0]]
    # Test rows must not reach the fold's scale, else its own training rows would be told apart less well.
    np.testing.assert_allclose(one.probabilities(features, own)[own], other.probabilities(scaled, own)[own], atol=5e-3)


def test_train_probes_survive_a_constant_feature():
    features, labels = rows()
    features[:, 2] = 7.0
    found = train_probes(features, labels, fold_masks(len(labels)), n_classes=3, epochs=1, batch_size=32)
    assert torch.isfinite(found.weights).all()


def test_train_probes_repeat_with_the_same_seed():
    features, labels = rows()
    one, same, other = (
        train_probes(features, labels, fold_masks(len(labels)), n_classes=3, epochs=2, batch_size=32, seed=seed)
        for seed in (4, 4, 5)
    )
    assert torch.equal(one.weights, same.weights)
    assert not torch.equal(one.weights, other.weights)


def test_train_probes_refuse_a_fold_without_rows():
    features, labels = rows()
    training = fold_masks(len(labels))
    training[1] = False
    with pytest.raises(SplitError, match="fold 1 has no row"):
        train_probes(features, labels, training, n_classes=3)


def test_train_probes_change_nothing_but_the_column_where_classes_are_renamed():
    features, labels = rows()
    training, options = fold_masks(len(labels)), {"n_classes": 3, "epochs": 3, "batch_size": 16, "learning_rate": 1e-2}
    renamed = np.array([2, 0, 1])
    one = train_probes(features, labels, training, **options).probabilities(features, ~training)
    other = train_probes(features, renamed[labels], training, **options).probabilities(features, ~training)
    np.testing.assert_allclose(one[~training], other[~training][:, renamed], atol=1e-6)


def test_train_probes_change_nothing_where_a_constant_feature_is_added():
    features, labels = rows()
    training, options = fold_masks(len(labels)), {"n_classes": 3, "epochs": 3, "batch_size": 16, "learning_rate": 1e-2}
    wider = np.insert(features, 2, np.float32(-7.25), axis=1)
    one, other = (train_probes(x, labels, training, **options).probabilities(x, ~training) for x in (features, wider))
    np.testing.assert_allclose(one[~training], other[~training], atol=1e-6)


def test_train_probes_change_nothing_where_rows_change_places_within_one_batch():
    features, labels = rows()
    training, order = fold_masks(len(labels)), np.random.default_rng(1).permutation(len(labels))
    options = {"n_classes": 3, "epochs": 20, "batch_size": len(labels), "learning_rate": 1e-2}
    one = train_probes(features, labels, training, **options).probabilities(features, ~training)
    moved = features[order], labels[order], np.ascontiguousarray(training[:, order])
    other = train_probes(*moved, **options).probabilities(moved[0], ~moved[2])
    np.testing.assert_allclose(one[:, order], other, atol=1e-5)


def test_probabilities_are_nan_where_a_row_is_not_wanted():
    features, labels = rows()
    training = fold_masks(len(labels))
    found = train_probes(features, labels, training, n_classes=3, epochs=1).probabilities(features, ~training)
    assert np.isnan(found[training]).all()
    np.testing.assert_allclose(found[~training].sum(axis=1), 1, atol=1e-6)


def test_train_probes_learn_nothing_from_a_feature_that_is_constant_where_they_train():
    features, labels = rows()
    training = fold_masks(len(labels))[:1]
    dead = features.copy()
    dead[:, 3] = np.where(training[0], 0.0, 1000.0 + labels)
    options = {"n_classes": 3, "epochs": 5, "batch_size": 16, "learning_rate": 1e-2}
    found = train_probes(dead, labels, training, **options)
    assert not found.weights[0, :, 3].any()
    without = train_probes(np.delete(dead, 3, axis=1), labels, training, **options)
    own = ~training
    np.testing.assert_allclose(
        found.probabilities(dead, own)[own], without.probabilities(np.delete(dead, 3, axis=1), own)[own], atol=1e-5
    )


def test_train_probes_take_features_of_any_scale():
    features, labels = rows()
    training = fold_masks(len(labels))
    centred = features - features.mean(axis=0)
    one, other = (train_probes(x, labels, training, n_classes=3, batch_size=16) for x in (centred, centred * 1e-7))
    probabilities = one.probabilities(centred, ~training), other.probabilities(centred * 1e-7, ~training)
    np.testing.assert_allclose(*probabilities, atol=1e-4)
