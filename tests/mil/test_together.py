"""All folds together: each as it would come out alone, whatever the classifier, and whenever the others stop."""

import numpy as np
import pytest
import torch
from sampled import sampled

from hage_transfer.mil import bag_pass
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.running.ticks import heard

KINDS = [
    {"kind": "abmil"},
    {"kind": "abmil", "gated": False},
    {"kind": "abmil", "hidden_dim": 0},
    {"kind": "abmil", "hidden_dim": 0, "dropout": 0.0},
    {"kind": "clam_sb", "instance_tiles": 3},
    {"kind": "clam_mb", "instance_tiles": 3, "subtyping": True, "instance_loss": "cross_entropy"},
    {"kind": "mean"},
    {"kind": "max"},
]


def train(slides, folds, *, model=None, **options):
    folder, labels = slides
    options = {"epochs": 12, "min_epochs": 2, "patience": 2, "learning_rate": 5e-3, **options}
    return train_folds(
        open_bags(folder, labels),
        labels.class_indices,
        folds,
        n_classes=2,
        model=MilModelSettings(**{"hidden_dim": 16, "attention_dim": 8, **(model or {})}),
        options=MilTrainSettings(**options),
        seed=3,
    )


def three_folds():
    every = np.random.default_rng(0).permutation(60)
    folds = []
    for test in np.array_split(every, 3):
        rest = np.setdiff1d(every, test)
        folds.append(FoldBags(np.sort(rest[8:]), np.sort(rest[:8])))
    return folds


def weights(trained, fold):
    return trained.stack.models[fold].state_dict()


def assert_alike(one, fold, other, other_fold):
    for name, value in weights(one, fold).items():
        torch.testing.assert_close(value, weights(other, other_fold)[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", sampled([*KINDS, {"kind": "transmil"}], *KINDS[::3]), ids=str)
def test_train_folds_together_equals_each_alone(slides, model):
    if model["kind"] == "transmil":
        pytest.importorskip("torchmil")
    folds = three_folds()
    together = train(slides, folds, model=model, bags_per_step=3, epochs=3, instance_dropout=0.2)
    for number, fold in enumerate(folds):
        alone = train(slides, [fold], model=model, bags_per_step=3, epochs=3, instance_dropout=0.2)
        assert_alike(together, number, alone, 0)
        assert together.best_epochs[number] == alone.best_epochs[0]


@pytest.mark.slow
def test_train_folds_stop_at_different_epochs_and_each_as_alone(slides):
    folds = three_folds()
    together = train(slides, folds, epochs=40, class_weights="balanced")
    assert len(set(together.epochs)) > 1
    for number, fold in enumerate(folds):
        alone = train(slides, [fold], epochs=40, class_weights="balanced")
        assert (alone.epochs[0], alone.best_epochs[0]) == (together.epochs[number], together.best_epochs[number])
        assert_alike(together, number, alone, 0)


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS, ids=str)
def test_train_folds_in_chunks_of_tiles_equals_whole_bags(slides, model, monkeypatch):
    folds = three_folds()
    whole = train(slides, folds, model=model, epochs=2)
    monkeypatch.setattr(bag_pass, "CHUNK_TILES", 4)
    chunks = train(slides, folds, model=model, epochs=2)
    for fold in range(3):
        assert_alike(whole, fold, chunks, fold)
    folder, labels = slides
    rows = [np.arange(5)] * 3
    monkeypatch.undo()
    left, right = (one.probabilities(open_bags(folder, labels), rows) for one in (whole, chunks))
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def test_train_folds_predicts_as_the_models_own_forward_does(slides):
    folder, labels = slides
    bags = open_bags(folder, labels)
    trained = train(slides, three_folds(), epochs=2)
    shares = trained.probabilities(bags, [np.array([4, 7])] * 3)
    for fold in range(3):
        tiles = (torch.from_numpy(bags.load(7)) - trained.stack.mean[fold]) / trained.stack.std[fold]
        with torch.no_grad():
            output = trained.model(fold)(tiles[None], torch.ones(1, len(tiles), dtype=torch.bool))
        np.testing.assert_allclose(shares[fold][1], output.logits.softmax(1)[0], rtol=1e-4, atol=1e-6)


def test_train_folds_weighs_classes(slides):
    folder, labels = slides
    rare = np.concatenate([np.arange(0, 40, 2), np.array([1, 3])])  # 20 normal, 2 tumour
    fold = [FoldBags(rare, np.array([], dtype=np.int64))]
    model = {"dropout": 0.0}
    plain, balanced = (
        train(slides, fold, model=model, epochs=1, class_weights=how, learning_rate=1e-3)
        for how in ("none", "balanced")
    )
    rows = [np.arange(40, 60)]
    bags = open_bags(folder, labels)
    assert balanced.probabilities(bags, rows)[0][:, 1].mean() > plain.probabilities(bags, rows)[0][:, 1].mean()


def test_a_training_of_a_fixed_length_says_its_share_of_it(slides):
    folds, told = [FoldBags(np.arange(20), np.arange(0))], []
    with heard(told.append):
        train(slides, folds, epochs=4, validation=0, min_epochs=50)
    np.testing.assert_allclose(told, np.arange(1, 81) / 80)
