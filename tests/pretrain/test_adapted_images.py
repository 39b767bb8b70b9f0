"""HAGE with an adapted image encoder: what trains and what stays, and that what it leaves is usable."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file

from hage_transfer import open_encoder
from hage_transfer.data.feature_file import read_features
from hage_transfer.encode.sections_and_patches import encode_sections
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.models.embedding import embed_features
from hage_transfer.pretrain import adapted_images, train
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.dataset import make_spots
from hage_transfer.pretrain.inputs import read_inputs
from hage_transfer.pretrain.run import pretrain
from hage_transfer.running.run_directory import RunDirectory


@pytest.fixture
def lora_config(config, data_root, tmp_path):
    """The tiny set with pictures of noise, features of a small ViT of random weights, a variant that adapts it."""
    rng = np.random.default_rng(0)
    for path in sorted(data_root.glob("ST-imgs/*/*/image.jpg")):
        Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(path)
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "vit.safetensors")
    tree = config.model_dump()
    tree |= {
        "encoder": {"name": "timm:test_vit", "weights": tmp_path / "vit.safetensors"},
        "features": tmp_path / "frozen",
        "patch": {"size_px": 16},
        "pixels": {"size_px": 16, "cache": tmp_path / "cache"},
        "train": {"epochs": 1, "batch_size": 64},
        "split": {"held_out": ["A"]},
        "trials": 1,
        "controls": "none",
        "variants": {"lora": {"image_encoder.adapt": "lora", "image_encoder.stages": 1}},
    }
    found = PretrainConfig.model_validate(tree)
    encode_sections(found, device="cpu", overwrite=False)
    return found


@pytest.mark.slow
def test_a_run_leaves_an_adapter_that_encodes_and_an_encoder_of_its_features(lora_config, tmp_path, monkeypatch):
    before = {}
    real = adapted_images.encoded_anew

    def looked(images, *given, **named):
        before["trained"] = {n: p.detach().clone() for n, p in images.named_parameters()}
        return real(images, *given, **named)

    monkeypatch.setattr(train, "encoded_anew", looked)
    out = tmp_path / "run"
    results = pretrain(lora_config, read_inputs(lora_config), RunDirectory.open(out, lora_config), device="cpu")
    assert {"hage", "lora"} <= {one.source for one in results.records}
    frozen = adapted_images.adapted_images(lora_config.variant("lora"), device="cpu")
    for name, one in frozen.named_parameters():
        trained = before["trained"][name]
        assert trained.any() if "lora_B" in name else "lora_A" in name or torch.equal(one, trained)  # B begins at zero
    adapter = out / "variants/lora_adapter/A/trial_0"
    tree = {"encoder": {**lora_config.encoder.model_dump(), "adapter": adapter}, "features": tmp_path / "adapted"}
    again = PretrainConfig.model_validate({**lora_config.model_dump(exclude={"variants"}), **tree})
    encode_sections(again, device="cpu", overwrite=False)
    features, plain = (read_features(tmp_path / kind / "A2.h5") for kind in ("adapted", "frozen"))
    assert features.meta.encoder == "timm:test_vit+lora"
    assert np.abs(features.features - plain.features).max() > 1e-4
    encoder = open_encoder(out / "variants/lora/A/trial_0")
    assert encoder.card["frozen_encoder_sha256"] == features.meta.encoder_sha256
    assert embed_features(features, encoder, folder=encoder.folder).features.shape == (64, 32)
    with pytest.raises(DataError, match="test_vit"):
        embed_features(plain, encoder, folder=encoder.folder)


def test_patches_are_cut_once_and_features_of_the_cache_are_those_of_encode(lora_config, tmp_path):
    inputs = read_inputs(lora_config)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(files) == 4
    read_inputs(lora_config)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == files
    images = adapted_images.adapted_images(lora_config.variant("lora"), device="cpu")
    section = inputs.sections["A2"]
    found = adapted_images.encode_spots(images, make_spots([section], list(section.var_names), "spot_log10"))
    np.testing.assert_allclose(found, section.obsm["features"], atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"controls": "cheap"}, "controls none"),
        ({"encoder": {"surround": True}}, "surround false"),
        ({"encoder": {"views": 8}}, "views 1"),
        ({"encoder": {"adapter": "somewhere"}}, "adapter left out"),
        ({"context": {"neighbours": 8}}, "no context"),
    ],
)
def test_what_adapters_cannot_stand_beside_is_refused(config, changed, told):
    tree = {**config.model_dump(), "controls": "none", "image_encoder": {"adapt": "lora"}, **changed}
    with pytest.raises(ValidationError, match=told):
        PretrainConfig.model_validate(tree)


def test_other_features_than_the_encoder_s_are_refused_before_patches_are_cut(lora_config, tmp_path):
    torch.manual_seed(1)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "other.safetensors")
    other = lora_config.encoder.model_copy(update={"weights": tmp_path / "other.safetensors"})
    with pytest.raises(ConfigError, match="features were made by"):
        read_inputs(lora_config.model_copy(update={"encoder": other}))
    assert not (tmp_path / "cache").exists()
