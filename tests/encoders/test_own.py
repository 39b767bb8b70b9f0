"""A frozen encoder of the user's own: what it must have, what is filled in, what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from hage_transfer.encoders.around import AveragedViews
from hage_transfer.encoders.own import OwnEncoder, as_frozen
from hage_transfer.errors import WeightsError

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


class Mean:
    """The least that an encoder is."""

    name = "mean"

    def __call__(self, images):
        return images.reshape(len(images), -1, 3).mean(1)


class Network(torch.nn.Module):
    name, transform = "network", staticmethod(lambda image: torch.from_numpy(np.array(image)).float().mean((0, 1)))

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(3, 5)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, pixels):
        return self.drop(self.layer(pixels))


def mean(**attributes):
    return type("Given", (Mean,), {key: staticmethod(v) if callable(v) else v for key, v in attributes.items()})()


def test_own_encoder_of_arrays_needs_a_name_and_a_call_alone():
    encoder = OwnEncoder(Mean())
    np.testing.assert_allclose(encoder(IMAGES), IMAGES.reshape(3, -1, 3).mean(1), rtol=1e-6)
    assert encoder(IMAGES).dtype == np.float32
    assert (encoder.name, encoder.width, encoder.licence, encoder.precision) == ("mean", 3, "unknown", "float32")
    assert len(encoder.sha256) == 64
    assert as_frozen(encoder) is encoder


def test_own_encoder_of_tensors_is_called_on_what_its_transform_makes_without_dropout():
    encoder, module = OwnEncoder(Network()), Network().eval()
    wanted = module(torch.stack([module.transform(Image.fromarray(image)) for image in IMAGES]))
    np.testing.assert_allclose(encoder(IMAGES), wanted.detach(), rtol=1e-6)
    assert encoder.width == 5


def test_own_encoder_is_given_images_of_its_side():
    seen = []
    encoder = OwnEncoder(_recording(seen))
    encoder(IMAGES)
    assert seen[-1] == (3, 8, 8, 3)


def _recording(seen):
    class Recording(Mean):
        input_px = 8

        def __call__(self, images):
            seen.append(images.shape)
            return super().__call__(images)

    return Recording()


def test_own_encoder_tells_other_weights_and_other_functions_apart():
    changed = Network()
    changed.layer.bias.data += 1
    assert OwnEncoder(Network()).sha256 == OwnEncoder(Network()).sha256 != OwnEncoder(changed).sha256
    assert OwnEncoder(Mean()).sha256 == OwnEncoder(Mean()).sha256
    brighter = type("Brighter", (Mean,), {"__call__": lambda self, images: Mean.__call__(self, images) + 1})()
    assert OwnEncoder(Mean()).sha256 != OwnEncoder(brighter).sha256
    assert OwnEncoder(mean(sha256="a" * 64)).sha256 == "a" * 64


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"name": ""}, "its name is '', wanted a text"),
        ({"width": 4}, "its width is 4, and it puts out 3 numbers"),
        ({"width": "3"}, "width = '3', wanted a whole number"),
        ({"input_px": -1}, "input_px = -1, wanted a whole number"),
    ],
)
def test_own_encoder_refuses_attributes_that_are_wrong(attributes, message):
    with pytest.raises(WeightsError, match=message):
        OwnEncoder(mean(**attributes))


def test_own_encoder_refuses_a_wrong_hash_what_is_no_object_and_a_class():
    with pytest.raises(WeightsError, match="wanted 64 digits"):
        _ = OwnEncoder(mean(sha256="abc")).sha256
    for wrong in (3, Mean):
        with pytest.raises(WeightsError, match="is no encoder; an encoder has a name and a call"):
            OwnEncoder(wrong)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda n: np.zeros(n), r"puts out shape \(\d,\), wanted"),
        (lambda n: np.zeros((n + 1, 3)), r"puts out shape"),
        (lambda n: np.full((n, 3), np.nan), "puts out NaN or infinity"),
        (lambda n: np.full((n, 3), "a"), "puts out <U1, wanted numbers"),
        (lambda n: 1 / 0, r"fails on \d images of .* \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_own_encoder_refuses_what_is_no_features(output, message):
    class Odd(Mean):
        def __call__(self, images):
            return output(len(images)) if images.shape[1] == 16 else super().__call__(images)

    with pytest.raises(WeightsError, match=f"encoder mean: {message}"):
        OwnEncoder(Odd()).begin(IMAGES)()


def test_own_encoder_stands_under_averaged_views():
    assert AveragedViews(OwnEncoder(Mean()))(IMAGES).shape == (3, 3)
