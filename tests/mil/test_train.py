"""Training: it finds the needle, stops when told, repeats itself, and fits nothing on test slides."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from hage_transfer.errors import SplitError
from mil.bags import open_bags
from mil.config import MilModelSettings, MilTrainSettings
from mil.train import FoldBags, train_folds

SMALL = MilModelSettings(hidden_dim=16, attention_dim=8)
FAST = MilTrainSettings(epochs=15, validation=0, bags_per_step=4, learning_rate=5e-3)


def train(slides, *, model=SMALL, options=FAST, seed=0, train_rows=None, validation=()):
    folder, labels = slides
    rows = np.arange(40) if train_rows is None else train_rows
    return train_folds(
        open_bags(folder, labels),
        labels.class_indices,
        [FoldBags(rows, np.array(validation, dtype=np.int64))],
        n_classes=2,
        model=model,
        options=options,
        seed=seed,
    )


def auc(trained, slides):
    folder, labels = slides
    rows = np.arange(40, len(labels))
    shares = trained.probabilities(open_bags(folder, labels), [rows])[0]
    return roc_auc_score(labels.class_indices[rows], shares[:, 1])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gated": False},
        {"kind": "clam_sb"},
        {"kind": "clam_mb", "subtyping": True},
        {"kind": "max", "hidden_dim": 0, "dropout": 0.0},
    ],
    ids=str,
)
def test_train_folds_finds_the_needle(slides, change):
    assert auc(train(slides, model=SMALL.model_copy(update=change)), slides) > 0.9


def test_train_folds_stays_near_chance_on_shuffled_labels(tmp_path, make_slides):
    slides = tmp_path / "f", make_slides(tmp_path / "f", n_slides=140, shuffled=True)
    assert 0.3 < auc(train(slides), slides) < 0.7


def test_train_folds_attends_to_the_needle(slides):
    folder, labels = slides
    trained, bags = train(slides), open_bags(folder, labels)
    tiles = (torch.from_numpy(bags.load(41)) - trained.stack.mean[0]) / trained.stack.std[
        0
    ]  # an odd slide: tiles 0 and 1 are positive
    with torch.no_grad():
        attention = trained.model(0)(tiles[None], torch.ones(1, len(tiles), dtype=torch.bool)).attention[0]
    assert attention[:2].sum() > 0.5


def test_train_folds_repeats_with_the_same_seed_and_leaves_the_global_state(slides):
    options = FAST.model_copy(update={"epochs": 2})
    state = torch.random.get_rng_state()
    one, same, other = (train(slides, options=options, seed=seed).model(0).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["score.weight"], other["score.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_train_folds_without_validation_runs_to_the_end(slides):
    trained = train(slides, options=FAST.model_copy(update={"epochs": 3, "min_epochs": 0, "patience": 1}))
    assert (trained.epochs, trained.best_epochs) == ((3,), (2,))


def test_train_folds_stops_after_patience_and_keeps_the_best_weights(slides):
    _, labels = slides
    wrong = np.arange(50, 60)  # validation labels turned around: the loss only grows once anything is learned
    turned = labels.labels.copy()
    turned[wrong] = np.where(turned[wrong] == "tumour", "normal", "tumour")
    lying = slides[0], type(labels)(labels.keys, turned, labels.groups, "slide")
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


def test_train_folds_fits_its_scale_on_training_bags_alone(slides, write_slide):
    folder, labels = slides
    before = train(slides, options=FAST.model_copy(update={"epochs": 1}))
    write_slide(folder, "s50", np.full((9, 8), 1e4))
    after = train(slides, options=FAST.model_copy(update={"epochs": 1}))
    assert torch.equal(before.stack.mean, after.stack.mean)
    assert torch.equal(before.stack.std, after.stack.std)
    rows = np.concatenate([open_bags(folder, labels).load(bag) for bag in range(40)])
    np.testing.assert_allclose(after.stack.mean[0].numpy(), rows.mean(0), rtol=1e-4, atol=1e-5)


def test_train_folds_takes_raw_features_where_told(slides):
    trained = train(slides, options=FAST.model_copy(update={"epochs": 1, "standardise": False}))
    assert (trained.stack.mean == 0).all()
    assert (trained.stack.std == 1).all()


def test_train_folds_refuses_no_slides(slides):
    with pytest.raises(SplitError, match="has no slide to train on"):
        train(slides, train_rows=np.array([], dtype=np.int64))
