"""Batches go to a device that copies aside from pinned memory; on others nothing is pinned; deterministic mode."""

import os

import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from pretend_device import DEVICE, PretendDevice
from pretend_training import accept_the_device

from hage_transfer.data.feature_file import Features, write_features
from hage_transfer.data.labels import LabelTable
from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.errors import ConfigError
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.models.embedding import embed_features
from hage_transfer.models.expression import build_predictor
from hage_transfer.models.expression_model import ExpressionModel, GeneLines
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain import fit as fit_module
from hage_transfer.pretrain.config import LossSettings, TrainSettings
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.spot_batches import SpotDataset, training_batches, validation_batches
from hage_transfer.probes.linear import train_probes
from hage_transfer.probes.logistic import train_logistic
from hage_transfer.probes.neighbours import neighbour_probabilities
from hage_transfer.running import devices

ROWS = 13
"""Of every batch below, and of no weight."""
FEATURES = np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float32)
LABELS, TRAINING = np.arange(ROWS) % 2, np.ones((2, ROWS), dtype=bool)
CARD = {"preset": "spot_log10", "frozen_encoder": "embedded", "frozen_encoder_sha256": "abc", "train_sections": ["A2"]}


@pytest.fixture
def pinned(monkeypatch):
    """What was put in pinned memory, on a pretended device that copies aside from it."""
    accept_the_device(monkeypatch)
    monkeypatch.setattr(devices, "_COPIES_ASIDE", frozenset({"cuda", DEVICE}))
    found: list[torch.Tensor] = []

    def pin(batch):
        found.append(batch.clone())
        return found[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    return found


def encode(device, tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1))
    made = TorchEncoder(
        network,
        name="tiny",
        width=4,
        licence="none",
        sha256="0",
        preprocessing=Preprocessing(input_px=8, resize_px=8),
        forward=lambda module, pixels: module(pixels).flatten(1),
        device=device,
        precision="float32",
    )
    made(np.zeros((ROWS, 8, 8, 3), dtype=np.uint8))


def _encoder():
    return GeneInformedEncoder(torch.randn(20, 12), feature_dim=8, embed_dim=16, n_heads=2)


def embed(device, tmp_path):
    _encoder().save_pretrained(tmp_path / "encoder", card=CARD)
    encoder = GeneInformedEncoder.from_pretrained(tmp_path / "encoder")
    features = Features(FEATURES, tuple(map(str, range(ROWS))), None, feature_meta("s", encoder_sha256="abc"))
    embed_features(features, encoder, folder=tmp_path / "encoder", device=device)


def predict(device, tmp_path):
    lines = GeneLines(np.ones(20), np.zeros(20), np.ones(20))
    predictor = build_predictor("mlp", embed_dim=16, n_genes=20)
    model = ExpressionModel(_encoder(), predictor, genes=tuple(map(str, range(20))), lines=lines, kind="mlp")
    model.to(device).predict(FEATURES)


def linear(device, tmp_path):
    made = train_probes(FEATURES, LABELS, TRAINING, n_classes=2, epochs=1, batch_size=ROWS, device=device)
    made.probabilities(FEATURES, TRAINING)


def logistic(device, tmp_path):
    train_logistic(FEATURES, LABELS, TRAINING, n_classes=2, device=device, max_iterations=2)


def nearest(device, tmp_path):
    neighbour_probabilities(FEATURES, LABELS, TRAINING, TRAINING, n_classes=2, device=device)


def mil(device, tmp_path, **options):
    for number in range(4):
        coords = np.arange(2 * ROWS).reshape(ROWS, 2) * 224
        write_features(tmp_path / f"s{number}.h5", FEATURES + number, feature_meta(f"s{number}"), coords=coords)
    keys = np.array([f"s{number}" for number in range(4)])
    table = LabelTable(keys=keys, labels=np.array(["a", "b"] * 2), groups=keys, key_column="slide")
    bags, folds = open_bags(tmp_path, table), [FoldBags(np.arange(4), np.arange(2))]
    model = MilModelSettings(hidden_dim=16, attention_dim=8)
    options = MilTrainSettings(epochs=1, **options)
    made = train_folds(bags, np.arange(4) % 2, folds, n_classes=2, model=model, options=options, seed=0, device=device)
    return made.probabilities(bags, [np.arange(4)])[0]


STAGES = [encode, embed, predict, linear, logistic, nearest, mil]


@pytest.mark.parametrize("stage", STAGES, ids=lambda one: one.__name__)
def test_batches_leave_from_pinned_memory_and_the_host_goes_on(stage, tmp_path, pinned):
    with PretendDevice() as device:
        stage(DEVICE, tmp_path)
    places = {one.data_ptr() for one in pinned}
    batches = [one for one in device.arrivals if one[0].dim() > 1 and ROWS in one[0].shape]
    assert len(batches) > 0
    assert all(aside and one.data_ptr() in places for one, aside in batches), [one[0].shape for one in batches]


def test_nothing_is_pinned_for_other_devices(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", None)
    batch = torch.zeros(3, 2)
    assert devices.to_device(batch, "cpu") is batch
    assert not devices.copies_aside("mps")


def pretrain(device, tmp_path, **options):
    spots = Spots(
        features=FEATURES,
        counts=np.zeros((ROWS, 20), dtype=np.float32),
        target=np.abs(FEATURES[:, :1] + np.arange(20, dtype=np.float32)),
        coords_px=np.zeros((ROWS, 2)),
        section=np.arange(ROWS) % 2,
        section_names=("A", "B"),
        patient=("A", "B"),
        spot_names=(),
    )
    settings, rows = TrainSettings(epochs=1, **options), np.arange(ROWS)
    torch.manual_seed(0)
    module = HageModule(_encoder(), n_genes=20, loss=LossSettings(), train=settings)
    loaders = (
        training_batches(SpotDataset(spots, rows, rows % 3), batch_size=ROWS, seed=0),
        validation_batches(SpotDataset(spots, rows, rows * 0)),
    )
    fit_module.fit(module, *loaders, settings=settings, device=device, tensorboard=tmp_path / "curves")
    return loaders, torch.cat([one.detach().flatten().cpu() for one in module.parameters()])


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator")
def test_pretraining_pins_its_batches_and_goes_on(tmp_path, pinned):
    with PretendDevice() as device, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loaders, _ = pretrain(DEVICE, tmp_path)
    assert all(loader.pin_memory for loader in loaders)
    batches = [one for one in device.arrivals if one[0].shape[:1] == (ROWS,)]
    assert len(batches) >= 2 * 5
    assert all(aside for _, aside in batches)


@pytest.mark.parametrize("stage", [pretrain, mil], ids=lambda one: one.__name__)
def test_deterministic_training_is_asked_of_torch_and_changes_no_number_of_the_cpu(stage, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda wanted, **_: asked.append(wanted))

    def numbers(**options):
        found = stage("cpu", tmp_path, **options)
        return np.asarray(found[1] if isinstance(found, tuple) else found)

    plain = numbers()
    assert asked == []
    np.testing.assert_array_equal(numbers(deterministic=True), plain)
    assert asked == [True, False]


def test_what_has_no_deterministic_form_is_named(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    named = pytest.raises(ConfigError, match=r"train\.deterministic = true: put_ has no such form")
    with named, devices.deterministic(True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        torch.zeros(3).put_(torch.tensor([1]), torch.tensor([1.0]))
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="another"), devices.deterministic(True):
        raise RuntimeError("another")
    with devices.deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
