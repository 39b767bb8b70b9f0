import numpy as np
import pytest
import timm
import torch

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders import embedded
from hage_transfer.encoders.registry import load_encoder
from hage_transfer.encoders.weights import read_state
from hage_transfer.errors import WeightsError


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderSettings(), device="cpu")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def unfolded():
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    module.load_state_dict(embedded.timm_state(read_state(embedded.find_weights(None).path), module), strict=True)
    return module.eval()


def test_embedded_equals_stage_means_and_stds_of_the_plain_network(encoder, images, unfolded):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        stages = unfolded.forward_intermediates(pixels, indices=[1, 2, 3], stop_early=True, intermediates_only=True)
    wanted = torch.cat([part for stage in stages for part in (stage.mean((2, 3)), stage.std((2, 3)))], dim=1)
    assert encoder.width == wanted.shape[1] == 352
    np.testing.assert_allclose(encoder(images), wanted, rtol=1e-3, atol=1e-4)


def test_embedded_rows_do_not_depend_on_the_batch(encoder, images):
    one_by_one = np.concatenate([encoder(images[k : k + 1]) for k in range(len(images))])
    np.testing.assert_allclose(encoder(images), one_by_one, rtol=1e-3, atol=1e-4)


def test_embedded_leaves_the_number_of_threads_as_it_is(encoder, images):
    before = torch.get_num_threads()
    encoder(images)
    assert torch.get_num_threads() == before


def test_embedded_resizes_a_patch_of_another_size_to_224(encoder):
    flat = np.full((1, 96, 96, 3), 140, np.uint8)
    np.testing.assert_allclose(encoder(flat), encoder(np.full((1, 224, 224, 3), 140, np.uint8)), rtol=1e-5, atol=1e-6)


def test_embedded_takes_tensors_as_well(encoder, images):
    np.testing.assert_array_equal(encoder(images[:1]), encoder(torch.from_numpy(images[:1])))


def test_embedded_refuses_weights_of_another_hash(tmp_path):
    (tmp_path / "other.pth").write_bytes(b"x")
    with pytest.raises(WeightsError, match=f"wanted {embedded.SHA256}"):
        embedded.find_weights(tmp_path / "other.pth")


def test_embedded_states_hash_and_licence(encoder):
    assert (encoder.sha256, encoder.licence) == (embedded.SHA256, "Apache-2.0")
