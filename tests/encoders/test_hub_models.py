"""Models of hub repositories: built as their own config says, from a cache that a test makes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders import specs
from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.hub_models import build, pool_tokens
from hage_transfer.encoders.registry import check_name, entries, load_encoder
from hage_transfer.encoders.specs import CANNOT
from hage_transfer.encoders.specs import SPECS as MODELS
from hage_transfer.errors import WeightsError

LUNIT = "1aurent/vit_small_patch16_224.lunit_dino"
STATS = {"mean": [0.7, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic", "crop_pct": 1.0, "license": "x"}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def put(repository, config, state):
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc")
        snapshot = folder / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        if config is not None:
            (snapshot / "config.json").write_text(json.dumps(config))
        save_file({key: value.contiguous() for key, value in state.items()}, snapshot / "model.safetensors")
        return snapshot

    return put


def images(side=40):
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


def test_hub_name_of_any_timm_repository_is_what_timm_makes_of_it(cache):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False, num_classes=5).eval()
    facts = {**STATS, "input_size": [3, 160, 160], "num_classes": 5, "classifier": "head"}
    cache(LUNIT, {"architecture": "test_vit", "pretrained_cfg": facts}, model.state_dict())
    encoder = load_encoder(EncoderSettings(name=f"hf-hub:{LUNIT}"), device="cpu")
    model.reset_classifier(0)
    pixels = torch.from_numpy(images(160)).permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor(STATS["mean"]).view(3, 1, 1)) / torch.tensor(STATS["std"]).view(3, 1, 1)
    with torch.inference_mode():
        wanted = model(pixels).numpy()
    np.testing.assert_allclose(encoder(images(160)), wanted, rtol=1e-3, atol=1e-4)
    assert (encoder.name, encoder.width, encoder.licence) == (f"hf-hub:{LUNIT}", wanted.shape[1], "x")


@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov2_with_registers"])
def test_hub_name_of_a_transformers_repository_is_built_by_its_own_class(cache, kind):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.AutoConfig.for_model(kind, **sizes, image_size=224, patch_size=56)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval()
    cache("some/one", config.to_dict(), model.state_dict())
    encoder = load_encoder(EncoderSettings(name="hf-hub:some/one"), device="cpu")
    assert encoder(images(224)).shape == (2, encoder.width)


@pytest.mark.parametrize("name", ["phikon-v2", "midnight-12k"])
def test_named_transformers_model_pools_its_tokens(cache, monkeypatch, name):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 224, "patch_size": 56}
    config = transformers.Dinov2Config(**sizes)
    torch.manual_seed(0)
    model = transformers.Dinov2Model(config).eval()
    cache(MODELS[name].hub, config.to_dict(), model.state_dict())
    with pytest.raises(WeightsError, match=rf"encoder {name}: its network gives \d+ numbers an image, wanted"):
        load_encoder(EncoderSettings(name=name), device="cpu")
    small = 12 if MODELS[name].pooling == "class" else 24
    monkeypatch.setattr(specs, "SPECS", {name: replace(MODELS[name], width=small)})
    encoder = load_encoder(EncoderSettings(name=name), device="cpu")
    how = MODELS[name].preprocessing or Preprocessing()
    pixels = (torch.from_numpy(images(224)).permute(0, 3, 1, 2) / 255 - torch.tensor(how.mean).view(3, 1, 1)) / (
        torch.tensor(how.std).view(3, 1, 1)
    )
    with torch.inference_mode():
        tokens = model(pixels).last_hidden_state
    wanted = tokens[:, 0] if small == 12 else torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)
    np.testing.assert_allclose(encoder(images(224)), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "architecture", "model_args"),
    [
        ("virchow", "vit_huge_patch14_224", {"init_values": 1e-5, "mlp_ratio": 5.3375, "global_pool": ""}),
        ("h-optimus-1", "vit_giant_patch14_reg4_dinov2", {"img_size": 224, "init_values": 1e-5}),
        ("h0-mini", "vit_base_patch14_reg4_dinov2", {"img_size": 224, "init_values": 1e-5, "global_pool": ""}),
        *[(n, m.hub.split("/")[1].split(".")[0], {}) for n, m in MODELS.items() if n.startswith(("kaiko", "lunit"))],
    ],
)
def test_named_timm_model_is_as_wide_as_it_says(name, architecture, model_args):
    """On the meta device: shapes without weights."""
    model = MODELS[name]
    known = architecture.replace("_reg4_224", "_reg4_dinov2")
    arguments = {**({"img_size": 224} if "dinov2" in known else {}), **model_args, **model.arguments}
    network = build(replace(model, architecture=known, arguments=arguments))
    tokens = network(torch.zeros(1, 3, 224, 224, device="meta"))
    found = pool_tokens(tokens, model.pooling, prefix_tokens=network.num_prefix_tokens)
    assert found.shape == (1, model.width)


def test_hub_model_says_what_its_config_lacks(cache, tmp_path):
    state = timm.create_model("test_vit", pretrained=False).state_dict()
    cache("a/none", None, state)
    with pytest.raises(WeightsError, match=r"config\.json of a/none is not beside"):
        load_encoder(EncoderSettings(name="hf-hub:a/none"), device="cpu")
    cache("a/other", {"model_type": "hibou", "auto_map": {}}, state)
    with pytest.raises(WeightsError, match="names neither an architecture of timm nor a model_type of dinov2"):
        load_encoder(EncoderSettings(name="hf-hub:a/other"), device="cpu")
    cache("a/unknown", {"architecture": "vit_nothing"}, state)
    with pytest.raises(WeightsError, match="has no architecture vit_nothing; upgrade timm"):
        load_encoder(EncoderSettings(name="hf-hub:a/unknown"), device="cpu")
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set.*hf auth login"):
        load_encoder(EncoderSettings(name="hf-hub:a/absent"), device="cpu")


@pytest.mark.parametrize("name", CANNOT)
def test_model_that_needs_its_own_code_says_the_way(name):
    with pytest.raises(WeightsError, match=r"not by timm or transformers alone; load it so yourself and give it as"):
        check_name(name)


def test_entries_say_which_are_gated():
    gated = {entry.name for entry in entries() if "gated" in entry.home}
    assert gated == {
        "uni", "uni2-h", "virchow2", "gigapath", "h-optimus-0", "virchow", "h-optimus-1", "h0-mini"
    }  # fmt: skip
