import importlib.util

import numpy as np
import pytest

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders import embedded_onnx
from hage_transfer.encoders.registry import load_encoder, runtime_of
from hage_transfer.errors import ConfigError

needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None,
    reason="the extra onnx is not installed",
)


@needs_extra
@pytest.mark.parametrize("side", [224, 96])
def test_onnx_gives_torch_s_features(side):
    images = np.random.default_rng(0).integers(0, 256, (6, side, side, 3), dtype=np.uint8)
    torch_rows, onnx_rows = (
        load_encoder(EncoderSettings(runtime=runtime), device="cpu")(images) for runtime in ("torch", "onnx")
    )
    np.testing.assert_allclose(onnx_rows, torch_rows, rtol=1e-4, atol=1e-4)


@needs_extra
def test_onnx_rows_do_not_depend_on_the_pieces():
    encoder = load_encoder(EncoderSettings(runtime="onnx"), device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    np.testing.assert_array_equal(encoder(images)[4:], encoder(images[4:]))


@needs_extra
@pytest.mark.parametrize(("device", "precision"), [("cuda", "float32"), ("cpu", "bfloat16")])
def test_onnx_is_left_to_torch_elsewhere(device, precision):
    assert runtime_of(EncoderSettings(precision=precision), device=device) == "torch"
    assert runtime_of(EncoderSettings(), device="cpu") == "onnx"


def test_onnx_is_for_the_embedded_encoder(tmp_path):
    assert runtime_of(EncoderSettings(name="uni"), device="cpu") == "torch"
    weights = tmp_path / "w.bin"
    weights.write_bytes(b"x")
    with pytest.raises(ConfigError, match="runtime onnx is for encoder embedded, not uni"):
        load_encoder(EncoderSettings(name="uni", weights=weights, runtime="onnx"), device="cpu")


def test_onnx_without_the_extra_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(embedded_onnx, "is_installed", lambda: False)
    assert runtime_of(EncoderSettings(), device="cpu") == "torch"
    with pytest.raises(ConfigError, match=r"pip install 'hage-transfer\[onnx\]'"):
        load_encoder(EncoderSettings(runtime="onnx"), device="cpu")


def test_onnx_refuses_another_precision():
    with pytest.raises(ConfigError, match="float32 alone"):
        load_encoder(EncoderSettings(runtime="onnx", precision="bfloat16"), device="cpu")
