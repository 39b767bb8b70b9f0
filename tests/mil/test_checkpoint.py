"""Models of folds as files: what is written is what is read, and each thing that is refused."""

import pytest
import torch
from safetensors.torch import save_file

from hage_transfer.errors import DataError
from hage_transfer.mil.checkpoint import FoldModel, fold_models, model_path, read_fold_model, save_fold_model
from hage_transfer.mil.models import build_model

SIZES = {"hidden_dim": 5, "attention_dim": 4, "gated": True, "dropout": 0.25}


def fold_model(fold="0", trial=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model("abmil", 6, n_classes=2, **SIZES).eval()
    return FoldModel(
        model=model,
        mean=torch.randn(6, generator=generator),
        std=torch.rand(6, generator=generator) + 0.5,
        classes=("benign", "malignant"),
        source="frozen",
        trial=trial,
        fold=fold,
        meta={"model": {"kind": "abmil", **SIZES}, "encoder": "embedded", "encoder_sha256": "a", "best_epoch": 3},
    )


def save(run, model):
    save_fold_model(model_path(run, source=model.source, trial=model.trial, fold=model.fold), model)


def test_fold_model_reads_as_it_was_written(tmp_path):
    model = fold_model()
    save(tmp_path, model)
    read = read_fold_model(tmp_path, source="frozen", trial=0, fold="0")
    tiles = torch.randn(9, 6)
    torch.testing.assert_close(read(tiles).logits, model(tiles).logits, rtol=0, atol=0)
    torch.testing.assert_close(read(tiles).attention, model(tiles).attention, rtol=0, atol=0)
    assert (read.classes, read.source, read.trial, read.fold) == (model.classes, "frozen", 0, "0")
    assert read.meta["encoder"] == "embedded"
    assert read.meta["best_epoch"] == 3
    assert read.meta["feature_dim"] == 6


def test_fold_model_scales_its_features():
    model, tiles = fold_model(), torch.randn(9, 6)
    by_hand = model.model(((tiles - model.mean) / model.std)[None], torch.ones(1, 9, dtype=torch.bool))
    torch.testing.assert_close(model(tiles).logits, by_hand.logits)
    assert model(tiles).attention.shape == (1, 9)


def test_fold_model_names_features_of_another_width():
    with pytest.raises(DataError, match=r"shape \(9, 7\), the classifier of frozen takes \(tiles, 6\)"):
        fold_model()(torch.randn(9, 7))


def test_fold_models_come_by_trial_and_fold(tmp_path):
    for trial, fold in ((1, "0"), (0, "10"), (0, "2")):
        save(tmp_path, fold_model(fold, trial))
    found = fold_models(tmp_path, source="frozen")
    assert [(model.trial, model.fold) for model in found] == [(0, "2"), (0, "10"), (1, "0")]


def test_fold_models_name_the_sources_that_are_there(tmp_path):
    save(tmp_path, fold_model())
    with pytest.raises(DataError, match=r"no models of this source; .* this run holds frozen"):
        fold_models(tmp_path, source="hage")
    with pytest.raises(DataError, match="no such model"):
        read_fold_model(tmp_path, source="frozen", trial=1, fold="0")


def test_read_fold_model_refuses_what_is_none(tmp_path):
    path = model_path(tmp_path, source="frozen", trial=0, fold="0")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as safetensors"):
        read_fold_model(tmp_path, source="frozen", trial=0, fold="0")
    save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(DataError, match="is not a bag classifier"):
        read_fold_model(tmp_path, source="frozen", trial=0, fold="0")
