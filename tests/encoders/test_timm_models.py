from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.hub_models import build, load, pool_tokens
from hage_transfer.encoders.specs import SPECS as ALL
from hage_transfer.encoders.specs import EncoderSpec
from hage_transfer.encoders.weights import load_strictly, local_weights
from hage_transfer.errors import WeightsError

SPECS = {name: spec for name, spec in ALL.items() if spec.architecture is not None}
# millions of parameters, as the model cards state them
MILLIONS = {"uni": 303, "uni2-h": 681, "virchow2": 632, "gigapath": 1135, "h-optimus-0": 1135}
# names and shapes that the published checkpoints hold, from their model cards and timm's architectures
LANDMARKS = {
    "uni": {"cls_token": (1, 1, 1024), "pos_embed": (1, 197, 1024), "blocks.23.ls1.gamma": (1024,)},
    "uni2-h": {"reg_token": (1, 8, 1536), "pos_embed": (1, 256, 1536), "blocks.23.mlp.fc1.weight": (8192, 1536)},
    "virchow2": {"reg_token": (1, 4, 1280), "patch_embed.proj.weight": (1280, 3, 14, 14), "norm.weight": (1280,)},
    "gigapath": {"blocks.39.norm1.weight": (1536,), "patch_embed.proj.weight": (1536, 3, 16, 16)},
    "h-optimus-0": {"reg_token": (1, 4, 1536), "blocks.39.norm1.weight": (1536,)},
}
TINY = {"img_size": 224, "patch_size": 32, "embed_dim": 32, "depth": 1, "num_heads": 2}


@pytest.fixture(params=sorted(SPECS))
def shallow(request):
    """Each entry with one block: heads, widths and token layout are the real ones."""
    return replace(SPECS[request.param], arguments=_shallow(request.param))


def _shallow(name):
    return {**SPECS[name].arguments, "depth": 1}


@pytest.fixture
def tiny():
    return EncoderSpec(
        name="tiny",
        hub="no/such",
        licence="MIT",
        width=32,
        is_gated=False,
        architecture="vit_tiny_patch16_224",
        arguments=TINY,
        preprocessing=Preprocessing(),
    )


@pytest.fixture
def tiny_state(tiny):
    torch.manual_seed(0)
    return {key: torch.rand(value.shape) * 0.1 for key, value in build(tiny).state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SPECS))
def test_build_has_the_published_number_of_parameters(name):
    assert sum(p.numel() for p in build(SPECS[name]).parameters()) / 1e6 == pytest.approx(MILLIONS[name], abs=1)


def test_pool_of_virchow2_is_class_token_and_mean_of_patch_tokens():
    tokens, module = torch.randn(2, 261, 1280), build(replace(SPECS["virchow2"], arguments=_shallow("virchow2")))
    pooled = pool_tokens(tokens, SPECS["virchow2"].pooling, prefix_tokens=module.num_prefix_tokens)
    assert torch.equal(pooled, torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], dim=1))


def test_load_refuses_another_width(tiny, tiny_state, tmp_path):
    torch.save(tiny_state, tmp_path / "w.bin")
    with pytest.raises(WeightsError, match="its network gives 32 numbers an image, wanted 31"):
        load(replace(tiny, width=31), local_weights(tmp_path / "w.bin"), device="cpu", precision="float32")


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("uni", Preprocessing(interpolation="bilinear")),
        ("uni2-h", Preprocessing(interpolation="bilinear")),
        ("virchow2", Preprocessing(interpolation="bicubic")),
        ("gigapath", Preprocessing(resize_px=256, interpolation="bicubic")),
        (
            "h-optimus-0",
            Preprocessing(mean=(0.707223, 0.578729, 0.703617), std=(0.211883, 0.230117, 0.177517)),
        ),
    ],
)
def test_specs_preprocess_as_their_cards_say(name, fact):
    assert SPECS[name].preprocessing == fact


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SPECS))
def test_load_strictly_takes_a_state_dict_of_the_published_form(name):
    """Whole size, on the meta device: every name and shape that the checkpoints hold, and none other."""
    module = build(SPECS[name])
    state = {key: torch.empty_like(value) for key, value in module.state_dict().items()}
    load_strictly(module, state, name=name, path=Path("w.bin"))
    assert {key: tuple(state[key].shape) for key in LANDMARKS[name]} == LANDMARKS[name]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_load_strictly_refuses_the_weights_of_every_other_entry(name, shallow):
    if name == shallow.name:
        return
    module = build(shallow)
    state = build(replace(SPECS[name], arguments=_shallow(name))).state_dict()
    same = {key: value.shape for key, value in state.items()} == {
        key: value.shape for key, value in module.state_dict().items()
    }
    assert not same
    with pytest.raises(WeightsError, match=f"not the weights of {shallow.name}; tensors .*(missing|not in|shape)"):
        load_strictly(module, state, name=shallow.name, path=Path("w.bin"))


def test_load_of_a_random_network_gives_the_entry_s_width(shallow, tmp_path):
    """One block with random weights, through file, strict loading, preprocessing and pooling."""
    torch.manual_seed(0)
    state = {key: torch.rand(value.shape) * 0.02 for key, value in build(shallow).state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    encoder = load(shallow, local_weights(tmp_path / "w.safetensors"), device="cpu", precision="float32")
    rows = encoder(np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8))
    assert rows.shape == (1, shallow.width)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_load_gives_the_network_s_own_output(tiny, tiny_state, tmp_path, form):
    path = tmp_path / f"weights.{form}"
    save_file(tiny_state, path) if form == "safetensors" else torch.save(tiny_state, path)
    encoder = load(tiny, local_weights(path), device="cpu", precision="float32")
    image = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    reference = build(tiny).to_empty(device="cpu").eval()
    reference.load_state_dict(tiny_state)
    mean, std = torch.tensor(tiny.preprocessing.mean), torch.tensor(tiny.preprocessing.std)
    pixels = ((torch.from_numpy(image) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = reference(pixels)
    np.testing.assert_allclose(encoder(image), wanted, rtol=1e-4, atol=1e-5)
    assert encoder.sha256 == local_weights(path).sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("norm.weight"), r"1 missing: norm\.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 not in the architecture: extra"),
        (lambda state: state.update({"norm.weight": torch.zeros(7)}), r"norm\.weight \(7,\) \(wanted \(32,\)\)"),
    ],
)
def test_load_refuses_weights_that_do_not_fit(tiny, tiny_state, tmp_path, change, message):
    change(tiny_state)
    torch.save(tiny_state, tmp_path / "w.bin")
    with pytest.raises(WeightsError, match=message):
        load(tiny, local_weights(tmp_path / "w.bin"), device="cpu", precision="float32")


@pytest.mark.parametrize("name", ["w.bin", "w.safetensors"])
def test_load_refuses_a_file_that_is_no_weights(tiny, tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match="cannot be read as safetensors or torch weights"):
        load(tiny, local_weights(tmp_path / name), device="cpu", precision="float32")


class _Payload:
    def __reduce__(self):
        return (print, ("executed",))


def test_load_refuses_a_pickle_with_code(tiny, tmp_path, capsys):
    torch.save({"a": _Payload()}, tmp_path / "w.bin")
    with pytest.raises(WeightsError):
        load(tiny, local_weights(tmp_path / "w.bin"), device="cpu", precision="float32")
    assert "executed" not in capsys.readouterr().out


def test_load_half_precision_weights_compute_in_float32(tiny, tiny_state, tmp_path):
    torch.save({key: value.half() for key, value in tiny_state.items()}, tmp_path / "w.bin")
    encoder = load(tiny, local_weights(tmp_path / "w.bin"), device="cpu", precision="float32")
    assert encoder(np.zeros((1, 224, 224, 3), np.uint8)).dtype == np.float32


def test_bfloat16_is_near_float32_and_returned_as_float32(tiny, tiny_state, tmp_path):
    torch.save(tiny_state, tmp_path / "w.bin")
    image = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    full, half = (
        load(tiny, local_weights(tmp_path / "w.bin"), device="cpu", precision=p)(image) for p in ("float32", "bfloat16")
    )
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(half, full, rtol=0.05, atol=0.02)
