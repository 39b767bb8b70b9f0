import threading

import numpy as np
import pytest

from hage_transfer.encode.extract import ImageStream, Opened, encode_sources
from hage_transfer.encoders.base import one_lane
from hage_transfer.errors import DataError


class MeanEncoder:
    """Each image's mean colour; keeps the sizes of the batches it was given."""

    name, width, input_px, licence, sha256, precision = "mean", 3, 8, "MIT", "0", "float32"
    images_per_call, lanes = None, staticmethod(one_lane)

    def __init__(self):
        self.batches = []

    def begin(self, images):
        self.batches.append(images.shape[:2])
        rows = images.mean(axis=(1, 2)).astype(np.float32)
        return lambda: rows


class Places:
    """Images that may be read in any order: each is flat, of its number plus ``first``."""

    in_any_order = True

    def __init__(self, count, *, first=0, read=None):
        self.count, self.first, self.also = count, first, read or (lambda start: None)

    def read(self, start, stop):
        self.also(start)
        return [flat(self.first + k) for k in range(start, stop)]


def flat(value, side=8):
    return np.full((side, side, 3), value, np.uint8)


def stream(*images):
    return ImageStream(len(images), lambda first: images[first:])


def parts_of(encoder, *sources, batch_size=4, readers=2):
    opened = (source if isinstance(source, Opened) else Opened(k, source) for k, source in enumerate(sources))
    return list(encode_sources(encoder, opened, batch_size=batch_size, readers=readers))


def values(parts, key=0):
    return [value for part in parts if part.key == key and part.rows is not None for value in part.rows[:, 0].tolist()]


@pytest.mark.parametrize("readers", [1, 3])
def test_encode_sources_keeps_the_order_of_sources_and_rows(readers):
    parts = parts_of(MeanEncoder(), Places(10), Places(7, first=100), readers=readers)
    assert [part.key for part in parts] == [0, 0, 0, 1, 1]
    assert values(parts) == list(range(10))
    assert values(parts, 1) == list(range(100, 107))


def test_encode_sources_ends_each_source_once():
    parts = parts_of(MeanEncoder(), Places(8), Places(3))
    assert [part.last for part in parts] == [False, True, True]


def test_encode_sources_batches_begin_anew_with_each_source():
    encoder = MeanEncoder()
    parts_of(encoder, Places(10), Places(3))
    assert sorted(n for n, _ in encoder.batches) == [2, 3, 4, 4]  # pieces run side by side, in no fixed order


def test_encode_sources_begins_at_the_row_a_source_says():
    assert values(parts_of(MeanEncoder(), Opened(0, Places(10), first=8))) == [8, 9]
    assert values(parts_of(MeanEncoder(), Opened(0, stream(*map(flat, range(10))), first=4))) == [4, 5, 6, 7, 8, 9]


def test_encode_sources_that_are_complete_end_without_rows():
    (part,) = parts_of(MeanEncoder(), Opened(0, Places(4), first=4))
    assert part.last
    assert part.rows is None


def test_encode_sources_gives_no_more_images_a_call_than_the_encoder_wants():
    encoder = MeanEncoder()
    encoder.images_per_call = 3
    parts = parts_of(encoder, Places(8), batch_size=8)
    assert sorted(n for n, _ in encoder.batches) == [2, 3, 3]
    assert len(parts) == 1


def test_encode_sources_begins_a_call_where_the_size_changes():
    encoder = MeanEncoder()
    parts = parts_of(encoder, stream(flat(1), flat(2), flat(3, side=5), flat(4)))
    assert sorted(encoder.batches) == [(1, 5), (1, 8), (2, 8)]
    assert values(parts) == [1, 2, 3, 4]


def test_encode_sources_reads_the_next_source_while_one_is_encoded():
    second_read = threading.Event()

    class Waiting(MeanEncoder):
        def begin(self, images):
            assert second_read.wait(timeout=60)
            return super().begin(images)

    parts = parts_of(Waiting(), Places(2), Places(2, read=lambda start: second_read.set()))
    assert [part.last for part in parts] == [True, True]


def test_encode_sources_reads_several_batches_of_one_source_at_a_time():
    both = threading.Barrier(2, timeout=5)
    assert values(parts_of(MeanEncoder(), Places(8, read=lambda start: both.wait()))) == list(range(8))


def test_encode_sources_reads_a_stream_in_order():
    rows = stream(*map(flat, range(30)))
    assert values(parts_of(MeanEncoder(), rows, readers=4, batch_size=2)) == list(range(30))


def test_encode_sources_holds_few_batches_of_images():
    encoded, most = [0], [0]

    class Slow(MeanEncoder):
        def begin(self, images):
            encoded[0] += len(images)
            return super().begin(images)

    read = [0]

    def also(start):
        read[0] += 1
        most[0] = max(most[0], read[0] - encoded[0])

    parts_of(Slow(), Places(200, read=also), batch_size=1, readers=2)
    assert most[0] <= 2 + 2 + 1


def test_encode_sources_goes_on_after_a_source_that_cannot_be_read():
    def fail(start):
        if start == 4:
            raise DataError("b.svs: damaged")

    parts = parts_of(MeanEncoder(), Places(20, read=fail), Places(3, first=50))
    errors = [part for part in parts if part.error is not None]
    assert [(part.key, part.last, str(part.error)) for part in errors] == [(0, True, "b.svs: damaged")]
    assert values(parts) == [0, 1, 2, 3]
    assert values(parts, 1) == [50, 51, 52]


@pytest.mark.parametrize("damaged", [False, True])
def test_encode_sources_closes_each_source_once_and_after_its_last_read(damaged):
    events = []

    def source(key):
        def read(start):
            events.append(("read", key))
            if damaged and key == 0 and start == 4:
                raise DataError("damaged")

        return Opened(key, Places(12, read=read), close=lambda: events.append(("close", key)))

    parts_of(MeanEncoder(), source(0), source(1))
    for key in (0, 1):
        own = [kind for kind, of in events if of == key]
        assert own.count("close") == 1
        assert own[-1] == "close"


def test_encode_sources_closes_what_is_open_when_it_is_left():
    closed = []
    sources = (Opened(k, Places(40), close=lambda k=k: closed.append(k)) for k in range(3))
    parts = encode_sources(MeanEncoder(), sources, batch_size=4, readers=2)
    next(parts)
    parts.close()
    assert 0 in closed
    assert len(closed) == len(set(closed))


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_encode_sources_refuses_what_is_no_rgb_image(wrong_shapes, image):
    (part,) = parts_of(MeanEncoder(), stream(image))
    assert "wanted (height, width, 3) uint8" in str(part.error)


def test_streamed_rows_that_end_early_are_an_error():
    with pytest.raises(DataError, match="3 images where 5 were announced"):
        ImageStream(5, lambda first: [flat(0)] * 3).read(0, 5)
