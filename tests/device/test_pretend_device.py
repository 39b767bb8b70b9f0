"""Stages on a device that mixes with no other: whole, backward included, and equal to the CPU."""

import importlib

import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from pretend_device import DEVICE, MixedDevicesError, OnDevice, PretendDevice
from pretend_training import accept_the_device, waits_of_steps
from sampled import sampled

from hage_transfer.data.feature_file import write_features
from hage_transfer.data.labels import LabelTable
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.probes.class_mean import class_mean_probabilities
from hage_transfer.probes.linear import train_probes
from hage_transfer.probes.logistic import train_logistic
from hage_transfer.probes.neighbours import neighbour_probabilities
from hage_transfer.targets.fitting import FoldTargets
from hage_transfer.targets.regression import Regression
from hage_transfer.targets.survival import Cox


@pytest.fixture(autouse=True)
def fused_steps(monkeypatch):
    accept_the_device(monkeypatch)


def test_the_device_takes_no_tensor_of_the_host():
    with PretendDevice() as device:
        layer = torch.nn.Linear(3, 2).to(DEVICE)
        with pytest.raises(MixedDevicesError, match="beside tensors of the device"):
            layer(torch.zeros(4, 3))
        output = layer(torch.ones(4, 3).to(DEVICE)).sum()
        output.backward()
        assert isinstance(layer.weight.grad, OnDevice)
        assert device.waits == []
        assert output.item() == output.cpu().item()
        assert len(device.waits) == 2


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = generator.normal(size=(60, 8)).astype(np.float32)
    features[:, 0] += 3 * labels
    training = np.ones((2, 60), dtype=bool)
    training[0, :20] = training[1, 40:] = False
    return features, labels, training


def linear(rows, device):
    features, labels, training = rows
    made = train_probes(features, labels, training, n_classes=3, epochs=3, batch_size=16, device=device)
    return made.probabilities(features, ~training)


def logistic(rows, device):
    features, labels, training = rows
    return train_logistic(features, labels, training, n_classes=3, device=device).probabilities(features, ~training)


def nearest(rows, device):
    features, labels, training = rows
    return neighbour_probabilities(features, labels, training, ~training, n_classes=3, device=device)


def class_means(rows, device):
    features, labels, training = rows
    return class_mean_probabilities(features, labels, training, ~training, n_classes=3, device=device)


@pytest.mark.parametrize("probe", [linear, logistic, nearest, class_means], ids=lambda one: one.__name__)
def test_probes_give_on_the_device_what_they_give_on_the_cpu(rows, probe):
    with PretendDevice():
        there = probe(rows, DEVICE)
    np.testing.assert_allclose(there, probe(rows, "cpu"), atol=1e-6)


@pytest.mark.parametrize("kind", ["classes", "regression", "survival"])
def test_a_step_of_the_probe_waits_for_nothing(rows, kind):
    features, labels, training = rows
    target, width = None, 3
    if kind != "classes":
        values = np.stack([labels + 1.0, labels % 2], axis=1)[:, : 1 + (kind == "survival")]
        target, width = Cox(horizons=()) if kind == "survival" else Regression(), 1
    with PretendDevice() as device:
        fitted = target and FoldTargets(target, values, [np.flatnonzero(fold) for fold in training], device=DEVICE)
        with waits_of_steps(device) as steps:
            train_probes(
                features, labels, training, n_classes=width, epochs=2, batch_size=16, device=DEVICE, target=fitted
            )
    assert len(steps) == 8
    assert steps[1:] == [[]] * 7  # the first comes after the moments of the features


def test_an_evaluation_of_the_logistic_probe_waits_once(rows, monkeypatch):
    module = importlib.import_module("hage_transfer.probes.logistic")
    monkeypatch.setattr(module, "CHUNK_ROWS", 16)  # four chunks an evaluation
    evaluations = []
    with PretendDevice() as device:
        evaluate = module._Objective.__call__

        def counted(self, points):
            before = len(device.waits)
            found = evaluate(self, points)
            evaluations.append(len(device.waits) - before)
            return found

        monkeypatch.setattr(module._Objective, "__call__", counted)
        logistic(rows, DEVICE)
    assert set(evaluations) == {1}


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    generator = np.random.default_rng(0)
    labels = np.array(["normal", "tumour"])[np.arange(12) % 2]
    for number in range(12):
        features = generator.normal(size=(9, 8)).astype(np.float32)
        coords = np.arange(18).reshape(9, 2) * 224
        write_features(folder / f"s{number}.h5", features, feature_meta(f"s{number}"), coords=coords)
    keys = np.array([f"s{number}" for number in range(12)])
    return folder, LabelTable(keys=keys, labels=labels, groups=keys, key_column="slide")


@pytest.mark.parametrize(
    "change",
    sampled([{}, {"kind": "clam_sb"}, {"kind": "clam_mb"}, {"kind": "max", "hidden_dim": 0}], {}, {"kind": "clam_mb"}),
    ids=str,
)
def test_bag_classifiers_train_on_the_device_as_on_the_cpu(bags, change):
    folder, labels = bags
    model = MilModelSettings(hidden_dim=16, attention_dim=8).model_copy(update=change)
    options = MilTrainSettings(epochs=2, validation=0.2, bags_per_step=2)
    folds = [FoldBags(np.arange(8), np.array([8, 9])), FoldBags(np.arange(4, 12), np.array([0, 1]))]

    def train(device):
        made = open_bags(folder, labels)
        trained = train_folds(
            made, labels.class_indices, folds, n_classes=2, model=model, options=options, seed=0, device=device
        )
        return trained.probabilities(made, [np.arange(12), np.arange(12)])

    with PretendDevice() as device, waits_of_steps(device) as steps:
        there = train(DEVICE)
    at_epochs_end = sorted(map(len, steps))[-1]
    assert sum(map(len, steps)) <= at_epochs_end <= len(folds), steps  # the validation losses, one wait a fold
    np.testing.assert_allclose(there, train("cpu"), atol=1e-6)


@pytest.mark.parametrize("attention", ["scaled", "cosine"])
def test_the_gene_informed_encoder_embeds_on_the_device(attention):
    torch.manual_seed(0)
    made = GeneInformedEncoder(torch.randn(20, 12), feature_dim=8, embed_dim=16, n_heads=2)
    features = torch.randn(5, 8)
    with torch.no_grad():
        expected = made(features)
        with PretendDevice():
            there = made.to(DEVICE)(features.to(DEVICE)).cpu()
    torch.testing.assert_close(there, expected)
