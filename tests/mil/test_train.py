"""Training: it finds the needle, stops when told, repeats itself, and fits nothing on test slides."""

import dataclasses

import numpy as np
import pytest
import torch
from sampled import sampled
from sklearn.metrics import roc_auc_score

from hage_transfer.errors import SplitError
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.fold_stack import FoldStack
from hage_transfer.mil.train import FoldBags, train_folds

SMALL = MilModelSettings(hidden_dim=16, attention_dim=8)
FAST = MilTrainSettings(epochs=15, validation=0, bags_per_step=4, learning_rate=5e-3)


def train(opened, *, model=SMALL, options=FAST, seed=0, train_rows=None, validation=()):
    bags, labels = opened
    rows = np.arange(40) if train_rows is None else train_rows
    return train_folds(
        bags,
        labels.class_indices,
        [FoldBags(rows, np.array(validation, dtype=np.int64))],
        n_classes=2,
        model=model,
        options=options,
        seed=seed,
    )


def auc(trained, opened):
    bags, labels = opened
    rows = np.arange(40, len(labels))
    shares = trained.probabilities(bags, [rows])[0]
    return roc_auc_score(labels.class_indices[rows], shares[:, 1])


@pytest.mark.parametrize(
    "change",
    sampled(
        [
            {},
            {"gated": False},
            {"kind": "clam_sb"},
            {"kind": "clam_mb", "subtyping": True},
            {"kind": "max", "hidden_dim": 0, "dropout": 0.0},
        ],
        {},
        {"kind": "clam_mb", "subtyping": True},
    ),
    ids=str,
)
def test_train_folds_finds_the_needle(opened, change):
    assert auc(train(opened, model=SMALL.model_copy(update=change)), opened) > 0.9


def test_train_folds_finds_the_needle_in_a_part_of_each_bag(opened):
    options = FAST.model_copy(update={"tiles_per_visit": 8, "epochs": 25})
    assert auc(train(opened, options=options), opened) > 0.9


@pytest.mark.slow
def test_train_folds_stays_near_chance_on_shuffled_labels(tmp_path, make_slides):
    labels = make_slides(tmp_path / "f", n_slides=140, shuffled=True)
    shuffled = open_bags(tmp_path / "f", labels), labels
    assert 0.3 < auc(train(shuffled), shuffled) < 0.7


@pytest.mark.slow
def test_train_folds_attends_to_the_needle(opened):
    trained, (bags, _) = train(opened), opened
    tiles = (torch.from_numpy(bags.load(41)) - trained.stack.mean[0]) / trained.stack.std[
        0
    ]  # an odd slide: tiles 0 and 1 are positive
    with torch.no_grad():
        attention = trained.model(0)(tiles[None], torch.ones(1, len(tiles), dtype=torch.bool)).attention[0]
    assert attention[:2].sum() > 0.5


def test_train_folds_repeats_with_the_same_seed_and_leaves_the_global_state(opened):
    options = FAST.model_copy(update={"epochs": 2})
    state = torch.random.get_rng_state()
    one, same, other = (train(opened, options=options, seed=seed).model(0).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["score.weight"], other["score.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_train_folds_without_validation_runs_to_the_end(opened):
    trained = train(opened, options=FAST.model_copy(update={"epochs": 3, "min_epochs": 0, "patience": 1}))
    assert (trained.epochs, trained.best_epochs) == ((3,), (2,))


def test_train_folds_stops_after_patience_and_keeps_the_best_weights(opened):
    _, labels = opened
    wrong = np.arange(50, 60)  # validation labels turned around: the loss only grows once anything is learned
    turned = labels.labels.copy()
    turned[wrong] = np.where(turned[wrong] == "tumour", "normal", "tumour")
    lying = opened[0], dataclasses.replace(labels, labels=turned)
    options = FAST.model_copy(update={"epochs": 40, "min_epochs": 6, "patience": 4})
    trained = train(lying, options=options, validation=wrong)
    assert trained.epochs[0] == max(6, trained.best_epochs[0] + 1 + 4) < 40
    upto = train(
        lying,
        options=options.model_copy(update={"epochs": trained.best_epochs[0] + 1}),
        validation=wrong,
    )
    assert all(
        torch.equal(a, b) for a, b in zip(trained.model(0).parameters(), upto.model(0).parameters(), strict=True)
    )


@pytest.mark.slow
def test_train_folds_fits_its_scale_on_training_bags_alone(slides, write_slide):
    folder, labels = slides
    before = train((open_bags(folder, labels), labels), options=FAST.model_copy(update={"epochs": 1}))
    write_slide(folder, "s50", np.full((9, 8), 1e4))
    bags = open_bags(folder, labels)
    after = train((bags, labels), options=FAST.model_copy(update={"epochs": 1}))
    assert torch.equal(before.stack.mean, after.stack.mean)
    assert torch.equal(before.stack.std, after.stack.std)
    rows = np.concatenate([bags.load(bag) for bag in range(40)])
    np.testing.assert_allclose(after.stack.mean[0].numpy(), rows.mean(0), rtol=1e-4, atol=1e-5)


def test_train_folds_takes_raw_features_where_told(opened):
    trained = train(opened, options=FAST.model_copy(update={"epochs": 1, "standardise": False}))
    assert (trained.stack.mean == 0).all()
    assert (trained.stack.std == 1).all()


def test_train_folds_visits_so_many_tiles_anew_and_validates_on_whole_bags(opened, monkeypatch):
    visited, judged = [], []
    add, logits = FoldStack.add_gradients, FoldStack.logits
    monkeypatch.setattr(
        FoldStack, "add_gradients", lambda self, f, v, w: _seen(visited, v[0].tiles, add)(self, f, v, w)
    )
    monkeypatch.setattr(FoldStack, "logits", lambda self, f, rows, c: _seen(judged, rows, logits)(self, f, rows, c))
    options = FAST.model_copy(update={"epochs": 2, "tiles_per_visit": 5, "standardise": False})
    train(opened, options=options, train_rows=np.array([4]), validation=[7])
    bags, _ = opened
    assert [len(rows) for rows in visited] == [5, 5]
    assert not torch.equal(*visited)
    whole = torch.from_numpy(bags.load(4))
    assert all((rows[:, None] == whole).all(dim=2).any(dim=1).all() for rows in visited)
    assert [len(rows) for rows in judged] == [bags.n_tiles[7]] * 2


def test_train_folds_on_tiles_of_streamed_bags_equals_those_in_memory(slides):
    folder, labels = slides
    options = FAST.model_copy(update={"epochs": 2, "tiles_per_visit": 5})
    kept, streamed = (
        train_folds(
            open_bags(folder, labels, memory_limit_bytes=limit),
            labels.class_indices,
            [FoldBags(np.arange(40), np.array([], dtype=np.int64))],
            n_classes=2,
            model=SMALL,
            options=options,
            seed=0,
        ).model(0)
        for limit in (1 << 30, 0)
    )
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), streamed.parameters(), strict=True))


def _seen(found, rows, function):
    found.append(rows.clone())
    return function


def test_train_folds_refuses_no_slides(opened):
    with pytest.raises(SplitError, match="has no slide to train on"):
        train(opened, train_rows=np.array([], dtype=np.int64))


@pytest.mark.parametrize("hidden_dim", sampled([0, 16], 16))
def test_a_feature_that_is_constant_where_a_fold_trains_says_nothing_of_a_test(slides, hidden_dim):
    folder, labels = slides
    bags, test = open_bags(folder, labels), np.arange(40, 60)
    for bag in range(len(bags)):
        rows = bags.load(bag).copy()
        rows[:, 0] = 0.0 if bag < 40 else 1000.0 + bag
        bags._kept[bag] = rows
    trained = train_folds(
        bags,
        labels.class_indices,
        [FoldBags(np.arange(40), test[:0])],
        n_classes=2,
        model=SMALL.model_copy(update={"hidden_dim": hidden_dim}),
        options=FAST,
        seed=0,
    )
    with_it = trained.probabilities(bags, [test])[0]
    for bag in test.tolist():
        bags._kept[bag][:, 0] = 0.0
    np.testing.assert_allclose(trained.probabilities(bags, [test])[0], with_it, atol=1e-6)
