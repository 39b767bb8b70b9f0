"""Rounded products: near float32 on the CPU, float16 refused there, float32 as before, each fold as if alone."""

import importlib

import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from sampled import sampled

from hage_transfer.config import EncoderSettings
from hage_transfer.data.feature_file import write_features
from hage_transfer.data.labels import LabelTable
from hage_transfer.encoders.registry import load_encoder
from hage_transfer.errors import ConfigError
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.progress_file import FoldProgress, Progress, ProgressFile
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.pretrain.config import PretrainConfig, TrainSettings
from hage_transfer.running.precision import check_precision
from hage_transfer.running.run_directory import RunDirectory


@pytest.mark.parametrize(("given", "meant"), [("fp32", "float32"), ("bf16", "bfloat16"), ("fp16", "float16")])
def test_short_names_of_precisions_are_the_long_ones(given, meant):
    for settings in (TrainSettings, MilTrainSettings, EncoderSettings):
        assert settings(precision=given) == settings(precision=meant)


def test_float16_is_for_accelerators():
    with pytest.raises(ConfigError, match=r"train\.precision = float16: .*device is cpu; set bfloat16"):
        check_precision("float16", "cpu", key="train.precision")
    with pytest.raises(ConfigError, match=r"encoder\.precision = float16"):
        load_encoder(EncoderSettings(precision="fp16"), device="cpu")
    check_precision("float16", "cuda:0", key="train.precision")
    check_precision("bfloat16", "cpu", key="train.precision")


def test_a_run_is_not_gone_on_with_at_another_precision(tmp_path):
    config = PretrainConfig.model_validate({"data": {"root": tmp_path}})
    RunDirectory.open(tmp_path / "run", config)
    (tmp_path / "run" / "work").touch()
    other = config.model_copy(update={"train": TrainSettings(precision="bf16")})
    with pytest.raises(ConfigError, match=r"differs in train\.precision"):
        RunDirectory.check(tmp_path / "run", other)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Features whose mean is far from 0, as of many an encoder: what is rounded must be centred first."""
    folder = tmp_path_factory.mktemp("bags")
    generator = np.random.default_rng(0)
    labels = np.array(["normal", "tumour"])[np.arange(16) % 2]
    for number in range(16):
        features = generator.normal(size=(40, 8)).astype(np.float32)
        features[:10, 0] += 3 * (number % 2)
        coords = np.arange(80).reshape(40, 2) * 224
        write_features(folder / f"s{number}.h5", 30 + 0.1 * features, feature_meta(f"s{number}"), coords=coords)
    keys = np.array([f"s{number}" for number in range(16)])
    return open_bags(folder, LabelTable(keys=keys, labels=labels, groups=keys, key_column="slide")), np.arange(16) % 2


FOLDS = [FoldBags(np.arange(12), np.array([12, 13])), FoldBags(np.arange(4, 16), np.array([0, 1]))]


def trained(bags, precision, folds=FOLDS, *, epochs=6, path=None, **model):
    made, labels = bags
    sizes = MilModelSettings(hidden_dim=16, attention_dim=8, **model)
    options = MilTrainSettings(epochs=epochs, precision=precision, learning_rate=5e-3, checkpoint_s=0)
    found = train_folds(made, labels, folds, n_classes=2, model=sizes, options=options, seed=0, progress_path=path)
    return found, np.stack(found.probabilities(made, [np.arange(16)] * len(folds)))


KINDS = [{}, {"kind": "clam_sb"}, {"kind": "clam_mb"}, {"kind": "max"}, {"kind": "mean"}]


@pytest.mark.parametrize("kind", sampled(KINDS, {}, {"kind": "clam_mb"}), ids=str)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_bag_classifiers_of_rounded_products_are_near_those_of_float32(bags, kind, precision):
    rounded, found = trained(bags, precision, **kind)
    _, wanted = trained(bags, "fp32", **kind)
    assert {one.dtype for one in rounded.stack.models[0].parameters()} == {torch.float32}
    limit = 0.2 if kind.get("kind") == "max" else 0.05  # another tile may be the highest
    assert 0 < np.abs(found - wanted).max() < limit
    assert np.abs(wanted - 0.5).max() > 0.05  # they have learnt


def test_rounded_products_of_chunks_are_those_of_whole_bags(bags, monkeypatch):
    _, whole = trained(bags, "bf16")
    monkeypatch.setattr(importlib.import_module("hage_transfer.mil.bag_pass"), "CHUNK_TILES", 16)
    _, parts = trained(bags, "bf16")
    np.testing.assert_allclose(parts, whole, atol=0.02)


def test_a_fold_whose_gradients_overflow_makes_no_step_and_halves_its_own_scale(bags):
    stack = trained(bags, "fp16", epochs=1)[0].stack
    before, scales = [stack.weights_of(fold) for fold in (0, 1)], [scaler.get_scale() for scaler in stack.scalers]
    for fold, value in enumerate((torch.inf, 1.0)):
        stack.scalers[fold].scale(torch.ones(()))
        stack.pending[fold] = {name: torch.full_like(one, value) for name, one in before[fold].items()}
    stack.step([0, 1])
    stays = [torch.equal(one["tanh.bias"], stack.weights_of(fold)["tanh.bias"]) for fold, one in enumerate(before)]
    assert stays == [True, False]
    assert [scaler.get_scale() for scaler in stack.scalers] == [scales[0] / 2, scales[1]]


def test_a_resumed_training_goes_on_at_its_scale(bags, tmp_path):
    found, _ = trained(bags, "fp16", epochs=1)
    found.stack.scalers[1].load_state_dict({**found.stack.scalers[1].state_dict(), "scale": 32.0})
    file = ProgressFile(tmp_path / "progress", every_s=0)
    file.save_if_due(Progress([FoldProgress(), FoldProgress()]), found.stack)
    other, _ = trained(bags, "fp16", epochs=1)
    file.restore(other.stack)
    assert other.stack.scalers[1].get_scale() == 32.0
