import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders.hub_models import preprocessing_of
from hage_transfer.encoders.preprocess import preprocess
from hage_transfer.encoders.registry import load_encoder
from hage_transfer.errors import WeightsError

MODEL = "test_vit"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model(MODEL, pretrained=False).state_dict(), path)
    return path


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)


def test_timm_encoder_equals_timm_s_own_evaluation(weights, image):
    encoder = load_encoder(EncoderSettings(name=f"timm:{MODEL}", weights=weights), device="cpu")
    model = timm.create_model(MODEL, pretrained=False)
    model.load_state_dict(load_file(weights))
    model.reset_classifier(0)
    transform = create_transform(**resolve_data_config(model=model))
    with torch.inference_mode():
        wanted = model.eval()(transform(Image.fromarray(image))[None])
    np.testing.assert_allclose(encoder(image[None]), wanted, rtol=1e-2, atol=1e-2)
    assert encoder.width == wanted.shape[1]


@pytest.mark.parametrize("side", [100, 160, 200, 321])
def test_preprocess_equals_timm_s_evaluation_transform(side):
    model = timm.create_model(MODEL, pretrained=False)
    image = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    wanted = create_transform(**resolve_data_config(model=model))(Image.fromarray(image))
    found = preprocess(torch.from_numpy(image)[None], preprocessing_of(model, model.pretrained_cfg))[0]
    # torchvision and Pillow differ by rounding, at most two of 255 grey levels
    assert (found - wanted).abs().max() < 2.5 / 255 / min(preprocessing_of(model, model.pretrained_cfg).std)


def test_timm_licence_is_the_config_s_own_or_unknown(weights):
    encoder = load_encoder(EncoderSettings(name=f"timm:{MODEL}", weights=weights), device="cpu")
    assert encoder.licence == (timm.create_model(MODEL).pretrained_cfg.get("license") or "unknown")


def test_timm_refuses_weights_of_another_model(tmp_path):
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="not the weights of timm:test_vit"):
        load_encoder(EncoderSettings(name=f"timm:{MODEL}", weights=tmp_path / "w.safetensors"), device="cpu")
