"""A trial whose arrays are mapped from disk has the numbers of one that holds them in memory."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from hage_transfer.errors import ConfigError
from hage_transfer.pretrain import encoder_directory, growing_array, made_rows, train
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.inputs import fold_inputs, read_inputs
from hage_transfer.pretrain.trial_files import TrialPaths


def trial(config: PretrainConfig, run: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    settings = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 3})})
    inputs = read_inputs(settings)
    fold = fold_inputs(inputs, inputs.folds[0], settings, run=run)
    paths = TrialPaths.of(run, "A", 0, sha256=fold.sha256)
    train.train_trial(fold, settings, 0, paths, "cpu")
    with h5py.File(paths.predictions) as file:
        arrays = {name: file[name][...] for name in ("train", "test", "curves/value")}
    return (paths.encoder / "model.safetensors").read_bytes(), arrays


@pytest.mark.slow
def test_a_trial_streamed_from_disk_equals_one_in_memory(config, tmp_path, monkeypatch):
    weights, arrays = trial(config, tmp_path / "memory")
    monkeypatch.setattr(growing_array, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(made_rows, "ENTRIES", 2000)  # counts, targets and predictions are made by rows
    streamed_weights, streamed = trial(config, tmp_path / "disk")
    assert weights == streamed_weights
    for name, values in arrays.items():
        np.testing.assert_array_equal(streamed[name], values)


def test_predictions_and_calibration_in_many_parts_are_those_in_one(config, tmp_path, monkeypatch):
    _, arrays = trial(config, tmp_path / "one")
    monkeypatch.setattr(train, "_ROWS_AT_A_TIME", 10)
    monkeypatch.setattr(encoder_directory, "_SPOTS_AT_A_TIME", 7)
    _, in_parts = trial(config, tmp_path / "many")
    for name, values in arrays.items():
        np.testing.assert_allclose(in_parts[name], values, rtol=1e-4, atol=1e-5)


def test_a_trial_of_rounded_products_is_near_one_of_float32_and_says_so(config, tmp_path):
    _, arrays = trial(config, tmp_path / "float32")
    rounded = config.model_copy(update={"train": config.train.model_copy(update={"precision": "bfloat16"})})
    _, found = trial(rounded, tmp_path / "bfloat16")
    assert 0 < np.abs(found["test"] - arrays["test"]).max() < 0.2
    assert np.corrcoef(found["test"].ravel(), arrays["test"].ravel())[0, 1] > 0.98
    cards = [next((tmp_path / name).glob("**/config.json")).read_text() for name in ("float32", "bfloat16")]
    assert ["bfloat16" in card for card in cards] == [False, True]


def test_a_trial_that_diverges_names_the_learning_rate(config, tmp_path):
    settings = config.model_copy(update={"train": config.train.model_copy(update={"learning_rate": 1e18})})
    with pytest.raises(ConfigError, match=r"lower train\.learning_rate"):
        trial(settings, tmp_path)
