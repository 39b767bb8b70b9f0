"""All folds together: each as it would come out alone, whatever the classifier, and whenever the others stop."""

import numpy as np
import pytest
import torch
from sampled import sampled

from hage_transfer.mil import bag_pass, visits
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


def train(opened, folds, *, model=None, path=None, **options):
    bags, labels = opened
    options = {"epochs": 12, "min_epochs": 2, "patience": 2, "learning_rate": 5e-3, **options}
    return train_folds(
        bags,
        labels.class_indices,
        folds,
        n_classes=2,
        model=MilModelSettings(**{"hidden_dim": 16, "attention_dim": 8, **(model or {})}),
        options=MilTrainSettings(**options),
        seed=3,
        progress_path=path,
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
def test_train_folds_together_equals_each_alone(opened, model):
    if model["kind"] == "transmil":
        pytest.importorskip("torchmil")
    folds = three_folds()
    together = train(opened, folds, model=model, bags_per_step=3, epochs=3, instance_dropout=0.2)
    for number, fold in enumerate(folds):
        alone = train(opened, [fold], model=model, bags_per_step=3, epochs=3, instance_dropout=0.2)
        assert_alike(together, number, alone, 0)
        assert together.best_epochs[number] == alone.best_epochs[0]


@pytest.mark.slow
def test_train_folds_stop_at_different_epochs_and_each_as_alone(opened):
    folds = three_folds()
    together = train(opened, folds, epochs=40, class_weights="balanced")
    assert len(set(together.epochs)) > 1
    for number, fold in enumerate(folds):
        alone = train(opened, [fold], epochs=40, class_weights="balanced")
        assert (alone.epochs[0], alone.best_epochs[0]) == (together.epochs[number], together.best_epochs[number])
        assert_alike(together, number, alone, 0)


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS, ids=str)
def test_train_folds_in_chunks_of_tiles_equals_whole_bags(opened, model, monkeypatch):
    folds = three_folds()
    whole = train(opened, folds, model=model, epochs=2)
    monkeypatch.setattr(bag_pass, "CHUNK_TILES", 4)
    chunks = train(opened, folds, model=model, epochs=2)
    for fold in range(3):
        assert_alike(whole, fold, chunks, fold)
    rows = [np.arange(5)] * 3
    monkeypatch.undo()
    left, right = (one.probabilities(opened[0], rows) for one in (whole, chunks))
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", sampled(KINDS, *KINDS[::3]), ids=str)
def test_bags_of_a_step_taken_together_equal_one_after_the_other(opened, model, monkeypatch):
    folds = [FoldBags(np.arange(0, 16), np.arange(16, 20)), FoldBags(np.arange(5, 19), np.arange(3))]
    found = []
    for tiles in (2048, 30, 1):  # of bags of 8 to 19
        monkeypatch.setattr(visits, "TILES_TOGETHER", tiles)
        found.append(train(opened, folds, model=model, epochs=1, bags_per_step=6, class_weights="balanced"))
    for fold in (0, 1):
        assert_alike(found[0], fold, found[1], fold)
        assert_alike(found[0], fold, found[2], fold)


def test_a_training_stopped_while_bags_wait_for_their_step_goes_on_as_if_it_had_not(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(visits, "TILES_TOGETHER", 30)  # of bags of 8 to 19
    folds = [FoldBags(np.arange(0, 16), np.arange(16, 20)), FoldBags(np.arange(5, 19), np.arange(3))]
    options = {"epochs": 2, "bags_per_step": 7, "checkpoint_s": 0.0}
    whole = train(opened, folds, **options)
    for number in (4, 13, 1):
        told = []

        def stop(_share, told=told, number=number):
            told.append(1)
            if len(told) > number:  # before the visit is written down
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), heard(stop):
            train(opened, folds, path=tmp_path / "progress", **options)
    resumed = train(opened, folds, path=tmp_path / "progress", **options)
    for fold in (0, 1):
        assert all(torch.equal(value, weights(resumed, fold)[name]) for name, value in weights(whole, fold).items())


@pytest.mark.parametrize("per_step", [1, 3])
def test_parts_of_an_epoch_hold_each_bag_of_a_fold_once_and_end_each_step(per_step):
    order, wanted = [3, 1, 4, 0, 2], {0: [0, 1], 1: [1], 2: [0, 1], 3: [0], 4: [0, 1]}
    for tiles in (1, 500, 5000):
        parts = visits.parts_of_epoch(order, wanted, dict.fromkeys(order, tiles), bags_per_step=per_step)
        for fold in (0, 1):
            own = [(place, part) for place, now in enumerate(parts) for part in now if fold in part.folds]
            assert [bag for _, part in own for bag in part.bags] == [bag for bag in order if fold in wanted[bag]]
            assert all(order[place] == part.bags[-1] for place, part in own)
            steps = np.cumsum([part.is_last for _, part in own]) - [part.is_last for _, part in own]
            for step in range(steps[-1] + 1):
                of_step = [part for (_, part), number in zip(own, steps, strict=True) if number == step]
                assert {part.step_size for part in of_step} == {sum(len(part.bags) for part in of_step)}
            assert own[-1][1].is_last
            assert all(len(part.bags) == 1 for _, part in own) or tiles < visits.TILES_TOGETHER


def test_train_folds_predicts_as_the_models_own_forward_does(opened):
    bags, _ = opened
    trained = train(opened, three_folds(), epochs=2)
    shares = trained.probabilities(bags, [np.array([4, 7])] * 3)
    for fold in range(3):
        tiles = (torch.from_numpy(bags.load(7)) - trained.stack.mean[fold]) / trained.stack.std[fold]
        with torch.no_grad():
            output = trained.model(fold)(tiles[None], torch.ones(1, len(tiles), dtype=torch.bool))
        np.testing.assert_allclose(shares[fold][1], output.logits.softmax(1)[0], rtol=1e-4, atol=1e-6)


def test_train_folds_weighs_classes(opened):
    rare = np.concatenate([np.arange(0, 40, 2), np.array([1, 3])])  # 20 normal, 2 tumour
    fold = [FoldBags(rare, np.array([], dtype=np.int64))]
    model = {"dropout": 0.0}
    plain, balanced = (
        train(opened, fold, model=model, epochs=1, class_weights=how, learning_rate=1e-3)
        for how in ("none", "balanced")
    )
    rows, (bags, _) = [np.arange(40, 60)], opened
    assert balanced.probabilities(bags, rows)[0][:, 1].mean() > plain.probabilities(bags, rows)[0][:, 1].mean()


def test_a_training_of_a_fixed_length_says_its_share_of_it(opened):
    folds, told = [FoldBags(np.arange(20), np.arange(0))], []
    with heard(told.append):
        train(opened, folds, epochs=4, validation=0, min_epochs=50)
    np.testing.assert_allclose(told, np.arange(1, 81) / 80)
