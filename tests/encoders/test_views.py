import numpy as np
import pytest

from hage_transfer.encoders.around import AveragedViews


class CornerEncoder:
    """The red value of the top-left pixel and of its right neighbour: no view gives what another gives."""

    name, width, input_px, licence, sha256, precision = "corner", 2, 8, "MIT", "0", "float32"

    def __call__(self, images):
        return images[:, 0, :2, 0].astype(np.float32)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_averaged_views_are_the_same_for_every_view(turns, flip):
    encoder = AveragedViews(CornerEncoder())
    seen = np.rot90(IMAGES[:, :, ::-1] if flip else IMAGES, turns, axes=(1, 2))
    np.testing.assert_allclose(encoder(seen), encoder(IMAGES), rtol=1e-6)


def test_averaged_views_are_the_mean_over_all_eight():
    corners = IMAGES[:, [0, 0, -1, -1], [0, -1, 0, -1], 0].mean(axis=1)
    np.testing.assert_allclose(AveragedViews(CornerEncoder())(IMAGES)[:, 0], corners, rtol=1e-6)


def test_averaged_views_keep_what_the_encoder_says_of_itself():
    encoder = AveragedViews(CornerEncoder())
    assert (encoder.name, encoder.width, encoder.licence, encoder.sha256) == ("corner", 2, "MIT", "0")
