from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hage_transfer.encoders.base import EncoderSpec, Preprocessing
from hage_transfer.encoders.timm_models import SPECS, build, load, pool
from hage_transfer.encoders.weights import local_weights
from hage_transfer.errors import WeightsError

# millions of parameters, as the model cards state them
MILLIONS = {"uni": 303, "uni2-h": 681, "virchow2": 632, "gigapath": 1135, "h-optimus-0": 1135}
TINY = {"img_size": 224, "patch_size": 32, "embed_dim": 32, "depth": 1, "num_heads": 2, "num_classes": 0}


@pytest.fixture(params=sorted(SPECS))
def shallow(request):
    """Each entry with one block: heads, widths and token layout are the real ones."""
    spec = SPECS[request.param]
    return replace(spec, arguments={**spec.arguments, "depth": 1})


@pytest.fixture
def tiny():
    return EncoderSpec(
        name="tiny", licence="MIT", width=32, hub="no/such", architecture="vit_tiny_patch16_224", arguments=TINY
    )


@pytest.fixture
def tiny_state(tiny):
    torch.manual_seed(0)
    return {key: torch.rand(value.shape) * 0.1 for key, value in build(tiny).state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SPECS))
def test_build_has_the_published_number_of_parameters(name):
    assert sum(p.numel() for p in build(SPECS[name]).parameters()) / 1e6 == pytest.approx(MILLIONS[name], abs=1)


def test_pool_gives_the_entry_s_width(shallow):
    module = build(shallow).eval()
    with torch.device("meta"):
        output = module(torch.zeros(2, 3, 224, 224, device="meta"))
    assert pool(output, shallow).shape == (2, shallow.width)


def test_pool_of_virchow2_is_class_token_and_mean_of_patch_tokens():
    tokens = torch.randn(2, 261, 1280)
    pooled = pool(tokens, SPECS["virchow2"])
    assert torch.equal(pooled, torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], dim=1))


def test_pool_refuses_another_width(tiny):
    with pytest.raises(WeightsError, match=r"gave shape \(2, 31\), wanted \(batch, 32\)"):
        pool(torch.zeros(2, 31), tiny)


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
