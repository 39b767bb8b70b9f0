import numpy as np
import pytest

from hage_transfer.encoders.around import CentreAndSurround
from hage_transfer.errors import ConfigError


class MeanEncoder:
    """Each image's mean colour and its side."""

    name, width, input_px, licence, sha256, precision = "mean", 2, 8, "MIT", "0", "float32"

    def __call__(self, images):
        return np.stack([images.mean(axis=(1, 2, 3)), np.full(len(images), images.shape[1])], axis=1).astype(np.float32)


def test_surround_sees_the_centre_and_then_the_whole():
    images = np.zeros((2, 16, 16, 3), np.uint8)
    images[:, 4:12, 4:12] = [[[[200, 200, 200]]], [[[100, 100, 100]]]]
    rows = CentreAndSurround(MeanEncoder())(images)
    np.testing.assert_allclose(rows, [[200, 8, 50, 8], [100, 8, 25, 8]])


def test_surround_doubles_the_width_and_keeps_the_name():
    encoder = CentreAndSurround(MeanEncoder())
    assert (encoder.width, encoder.name, encoder.sha256) == (4, "mean", "0")


def test_surround_refuses_patches_without_a_middle():
    with pytest.raises(ConfigError, match=r"multiples of 4 px, these are 18 x 18"):
        CentreAndSurround(MeanEncoder())(np.zeros((1, 18, 18, 3), np.uint8))
