"""Adapters of image encoders: added to the weights they make PEFT's own network, stamped, and refused where wrong."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from hage_transfer import open_encoder
from hage_transfer.config import EncoderSettings
from hage_transfer.encoders.adapter import CONFIG_FILE, WEIGHTS_FILE, save_adapter
from hage_transfer.encoders.registry import find_weights, load_encoder
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.pretrain.adapted_images import AdaptedImages, last_layers
from hage_transfer.pretrain.image_settings import ImageEncoderSettings

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
LORA = ImageEncoderSettings(adapt="lora", rank=2, stages=1, turns=False)


@pytest.fixture
def vit(tmp_path):
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "vit.safetensors")
    return EncoderSettings(name="timm:test_vit", weights=tmp_path / "vit.safetensors")


def settings_of(kind, vit):
    return vit if kind == "vit" else EncoderSettings(name="embedded", runtime="torch")


def adapter_of(settings, folder, *, seed=1):
    """An adapter directory of additions drawn at random, and the features of PEFT's network with them."""
    encoder = load_encoder(settings, device="cpu")
    images = AdaptedImages(encoder, LORA).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in images.parameters():
            if one.requires_grad:
                one.copy_(0.05 * torch.randn(one.shape, generator=generator))
        features = images(torch.from_numpy(IMAGES)).numpy()
    card = {
        "frozen_encoder": encoder.name,
        "frozen_encoder_sha256": encoder.sha256,
        "frozen_encoder_licence": encoder.licence,
        "rank": LORA.rank,
        "alpha": LORA.alpha,
        "train_sections": ["A2"],
    }
    save_adapter(folder, images.tensors(), card=card)
    return features


@pytest.mark.parametrize("kind", ["vit", "embedded"])
def test_additions_in_the_weights_make_the_network_that_was_trained(kind, vit, tmp_path):
    settings = settings_of(kind, vit)
    wanted = adapter_of(settings, tmp_path / "adapter")
    adapted = settings.model_copy(update={"adapter": tmp_path / "adapter"})
    found, frozen = load_encoder(adapted, device="cpu"), load_encoder(settings, device="cpu")
    np.testing.assert_allclose(found(IMAGES), wanted, atol=1e-4, rtol=1e-4)
    assert np.abs(found(IMAGES) - frozen(IMAGES)).max() > 1e-3
    assert found.name == f"{frozen.name}+lora"
    assert found.sha256 == find_weights(adapted).sha256 != frozen.sha256
    readme = (tmp_path / "adapter/README.md").read_text()
    assert frozen.sha256 in readme
    assert f"encoder.name={frozen.name}" in readme


def test_adapters_begin_at_the_frozen_features_to_the_last_digit(vit):
    encoder = load_encoder(vit, device="cpu")
    frozen = encoder(IMAGES)
    images = AdaptedImages(encoder, LORA).train()
    np.testing.assert_array_equal(images(torch.from_numpy(IMAGES)).detach().numpy(), frozen)


def test_only_adapters_get_gradients(vit):
    images = AdaptedImages(load_encoder(vit, device="cpu"), LORA).train()
    images(torch.from_numpy(IMAGES)).square().sum().backward()
    got = {name for name, one in images.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    assert got == {name for name, one in images.named_parameters() if "lora_B" in name}  # A's is zero while B is
    assert {name for name, one in images.named_parameters() if one.requires_grad} == {
        name for name, _ in images.named_parameters() if "lora_" in name
    }


@pytest.mark.parametrize(
    ("kind", "blocks", "wanted"),
    [
        ("embedded", 1, {"blocks.4"}),  # stages 5 and 6 make no feature
        ("embedded", 2, {"blocks.3", "blocks.4"}),
        ("vit", 2, {"blocks.4", "blocks.5"}),
        ("vit", 99, {f"blocks.{number}" for number in range(6)}),
    ],
)
def test_the_last_blocks_are_those_that_features_are_made_of(kind, blocks, wanted, vit):
    encoder = load_encoder(settings_of(kind, vit), device="cpu")
    layers = last_layers(encoder, blocks=blocks)
    assert {".".join(name.split(".")[:2]) for name in layers} == wanted
    modules = dict(encoder.module.named_modules())
    assert all(modules[name].weight.ndim == 2 or modules[name].weight.shape[2:] == (1, 1) for name in layers)


def test_an_adapter_of_other_weights_is_refused(vit, tmp_path):
    adapter_of(vit, tmp_path / "adapter")
    torch.manual_seed(1)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "other.safetensors")
    other = vit.model_copy(update={"weights": tmp_path / "other.safetensors", "adapter": tmp_path / "adapter"})
    with pytest.raises(DataError, match="and the encoder here has"):
        find_weights(other)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.popitem(), "no pairs"),
        (lambda t: t.update({name.replace("blocks.", "stages."): t.pop(name) for name in list(t)}), "is no layer"),
        (lambda t: next(iter(t.values())).fill_(torch.nan), "NaN or infinity"),
    ],
)
def test_damaged_additions_are_refused(vit, tmp_path, change, told):
    adapter_of(vit, tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, tmp_path / "adapter" / WEIGHTS_FILE)
    with pytest.raises(DataError, match=told):
        load_encoder(vit.model_copy(update={"adapter": tmp_path / "adapter"}), device="cpu")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no adapter directory"),
        ("{", "not valid JSON"),
        ("[]", "no card of an adapter"),
        ({"rank": 0}, "no card of an adapter"),
        ({"alpha": "8"}, "alpha"),
        ({"schema_version": 2}, "no card of an adapter"),
    ],
)
def test_directories_that_are_no_adapter_are_refused(vit, tmp_path, text, told):
    adapter_of(vit, tmp_path / "adapter")
    path = tmp_path / "adapter" / CONFIG_FILE
    if text is None:
        path.unlink()
    else:
        path.write_text(text if isinstance(text, str) else json.dumps({**json.loads(path.read_text()), **text}))
    with pytest.raises(DataError, match=told):
        find_weights(vit.model_copy(update={"adapter": tmp_path / "adapter"}))


def test_an_adapter_is_no_encoder_of_features_and_the_remedy_is_told(vit, tmp_path):
    adapter_of(vit, tmp_path / "adapter")
    with pytest.raises(DataError, match=r"encode with encoder\.adapter set to it"):
        open_encoder(tmp_path / "adapter")


def test_an_encoder_without_layers_is_refused(tmp_path, vit):
    adapter_of(vit, tmp_path / "adapter")

    class Mean:
        name = "mean"

        def __call__(self, images):
            return images.reshape(len(images), -1).mean(1, keepdims=True)

    from hage_transfer.encoders.adapter import torch_network
    from hage_transfer.encoders.own import OwnEncoder

    with pytest.raises(ConfigError, match="has no layers to adapt"):
        torch_network(OwnEncoder(Mean()))
