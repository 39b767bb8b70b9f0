import threading

import numpy as np
import pytest

from hage_transfer.encoders.extract import encode_images
from hage_transfer.errors import DataError


class MeanEncoder:
    """Each image's mean colour; keeps the batch sizes it was given."""

    name, width, input_px, licence, sha256, precision = "mean", 3, 8, "MIT", "0", "float32"

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(images.shape[:2])
        return images.mean(axis=(1, 2)).astype(np.float32)


def flat(value, side=8):
    return np.full((side, side, 3), value, np.uint8)


def test_encode_images_keeps_the_order():
    rows = encode_images(MeanEncoder(), (flat(k) for k in range(10)), batch_size=3)
    assert rows[:, 0].tolist() == list(range(10))


def test_encode_images_fills_batches():
    encoder = MeanEncoder()
    encode_images(encoder, (flat(k) for k in range(10)), batch_size=4)
    assert [n for n, _ in encoder.batches] == [4, 4, 2]


def test_encode_images_begins_a_batch_where_the_size_changes():
    encoder = MeanEncoder()
    rows = encode_images(encoder, [flat(1), flat(2), flat(3, side=5), flat(4)], batch_size=4)
    assert encoder.batches == [(2, 8), (1, 5), (1, 8)]
    assert rows[:, 0].tolist() == [1, 2, 3, 4]


def test_encode_images_reports_each_image_once():
    done = []
    encode_images(MeanEncoder(), (flat(k) for k in range(7)), batch_size=3, advance=done.append)
    assert sum(done) == 7


def test_encode_images_reads_ahead_of_the_encoder():
    second_read = threading.Event()

    def images():
        yield flat(0)
        second_read.set()
        yield flat(1)

    class Waiting(MeanEncoder):
        def __call__(self, images):
            assert second_read.wait(timeout=5)
            return super().__call__(images)

    assert len(encode_images(Waiting(), images(), batch_size=1)) == 2


def test_encode_images_passes_a_reader_s_error_on():
    def images():
        yield flat(0)
        raise DataError("b.png: damaged")

    with pytest.raises(DataError, match=r"b\.png: damaged"):
        encode_images(MeanEncoder(), images(), batch_size=1)


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_encode_images_refuses_what_is_no_rgb_image(image):
    with pytest.raises(DataError, match=r"wanted \(height, width, 3\) uint8"):
        encode_images(MeanEncoder(), [image], batch_size=1)


def test_encode_images_of_nothing_has_no_rows():
    assert encode_images(MeanEncoder(), [], batch_size=4).shape == (0, 3)
