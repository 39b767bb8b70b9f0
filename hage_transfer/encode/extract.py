"""Features of many sources of images in one pass: reading, decoding and encoding overlap, with no gap between sources.

While one source is encoded the next is opened and read. A source's batches are always the same rows, whatever came
before them, so that its features are the same in any company and after any interruption.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from jaxtyping import Float32, UInt8

from hage_transfer.encoders.base import FrozenEncoder, Pending
from hage_transfer.errors import DataError, InputError

Image = UInt8[np.ndarray, "_ _ 3"]
"""One image, RGB; those of a call may differ in size."""
_AHEAD = 2


class ImageSequence(Protocol):
    """Images by their places."""

    @property
    def count(self) -> int:
        """Number of images."""
        ...

    @property
    def in_any_order(self) -> bool:
        """Whether ``read`` may be called by several threads and in any order; else ranges ascend."""
        ...

    def read(self, start: int, stop: int) -> Sequence[Image]:
        """Images ``start`` to ``stop - 1``: uint8 RGB, of any sizes.

        Raises:
            InputError: an image that cannot be read.
        """


class ImageStream:
    """``ImageSequence`` of a stream that goes forward only."""

    in_any_order = False

    def __init__(self, count: int, images: Callable[[int], Iterable[Image]]) -> None:
        """Takes the number of images, and what gives them from a row on."""
        self.count, self._images = count, images
        self._stream: Iterator[Image] | None = None

    def read(self, start: int, stop: int) -> list[Image]:
        """See ``ImageSequence.read``."""
        if self._stream is None:
            self._stream = iter(self._images(start))
        found = list(islice(self._stream, stop - start))
        if len(found) != stop - start:
            raise DataError(f"{start + len(found)} images where {self.count} were announced")
        return found


Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass
class Opened(Generic[Key]):
    """A source that is ready to be read from row ``first`` on; ``close`` is called when its last image was read."""

    key: Key
    rows: ImageSequence
    first: int = 0
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Part(Generic[Key]):
    """Features of one batch of a source, or why the source's next batch cannot be read; ``last`` ends the source."""

    key: Key
    rows: Float32[np.ndarray, "batch feature"] | None = None
    error: InputError | None = None
    last: bool = False


@dataclass
class _Batch(Generic[Key]):
    source: Opened[Key]
    calls: "Future[list[Future[Pending]]] | None"
    last: bool


@dataclass
class _Pools:
    encode: Executor
    read: Executor
    stream: Executor
    encoder: FrozenEncoder = field(repr=False)

    def submit(self, rows: ImageSequence, start: int, stop: int) -> "Future[list[Future[Pending]]]":
        """Reads rows and has them encoded as soon as they are there."""
        pool = self.read if rows.in_any_order else self.stream

        def read() -> list[Future[Pending]]:
            pieces = _pieces(rows.read(start, stop), self.encoder.images_per_call or stop - start)
            return [self.encode.submit(self.encoder.begin, piece) for piece in pieces]

        return pool.submit(read)


def encode_sources(
    encoder: FrozenEncoder, sources: Iterator[Opened[Key]], *, batch_size: int, readers: int
) -> Generator[Part[Key], None, None]:
    """Encodes sources in order and yields the features of each, a batch at a time.

    Args:
        encoder: the frozen encoder.
        sources: advanced in a thread of its own, one source ahead: opening may take its time.
        batch_size: rows a part, from each source's ``first`` on.
        readers: threads that read ahead of the encoder; ``readers + 2`` batches of images are in memory at most.
    """
    with ExitStack() as stack:
        pools = _Pools(
            stack.enter_context(encoder.lanes()),
            stack.enter_context(ThreadPoolExecutor(readers, thread_name_prefix="read")),
            stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="stream")),
            encoder,
        )
        opener = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="open"))
        feed = _Feed(sources, opener, pools, batch_size, depth=readers + _AHEAD)
        stack.callback(feed.stop)
        while (batch := feed.next()) is not None:
            yield _part(batch, feed)


class _Feed(Generic[Key]):
    """The batches that are being read or encoded, in order, and the sources that they are of."""

    def __init__(
        self, sources: Iterator[Opened[Key]], opener: Executor, pools: _Pools, batch_size: int, *, depth: int
    ) -> None:
        self._sources, self._opener, self._pools, self._size = sources, opener, pools, batch_size
        self._depth = depth
        self._upcoming = self._open()
        self._source: Opened[Key] | None = None
        self._row = 0
        self._window: deque[_Batch[Key]] = deque()

    def next(self) -> _Batch[Key] | None:
        """The oldest batch, once as many as may be are on their way; None at the end."""
        self._fill(self._depth)
        return self._window.popleft() if self._window else None

    def result(self, future: "Future[Result]") -> Result:
        """What a call of the batch that was handed out comes to; a source that is opened meanwhile is begun."""
        while not future.done():
            self._fill(self._depth - 1, busy=True)
            # once it is open and still not begun, the window is full, or it was the last
            on_their_way: list[Future[Any]] = [future] if self._upcoming.done() else [future, self._upcoming]
            wait(on_their_way, return_when=FIRST_COMPLETED)
        return future.result()

    def _fill(self, depth: int, *, busy: bool = False) -> None:
        while len(self._window) < depth and (batch := self._read(busy=busy or bool(self._window))) is not None:
            self._window.append(batch)

    def drop(self, source: Opened[Key]) -> None:
        """Forgets what is left of a source that failed."""
        if self._source is source:
            self._source = None
        for batch in [batch for batch in self._window if batch.source is source]:
            self._window.remove(batch)
            _settle(batch)

    def stop(self) -> None:
        """Ends all that is on its way and closes what is open."""
        left: dict[int, Opened[Key]] = {id(batch.source): batch.source for batch in self._window}
        for batch in self._window:
            _settle(batch)
        if self._source is not None:
            left[id(self._source)] = self._source
        if not self._upcoming.cancel() and self._upcoming.exception() is None:
            opened = self._upcoming.result()
            left |= {} if opened is None else {id(opened): opened}
        for source in left.values():
            source.close()

    def _open(self) -> "Future[Opened[Key] | None]":
        return self._opener.submit(lambda: next(self._sources, None))

    def _read(self, *, busy: bool) -> _Batch[Key] | None:
        if self._source is None:
            if busy and not self._upcoming.done():
                return None  # the encoder has work: look again in a while
            self._source = self._upcoming.result()
            if self._source is None:
                return None
            self._row = self._source.first
            self._upcoming = self._open()
        source, start = self._source, self._row
        stop = min(start + self._size, source.rows.count)
        last = stop == source.rows.count
        self._row = stop
        if last:
            self._source = None
        return _Batch(source, self._pools.submit(source.rows, start, stop) if stop > start else None, last)


def _part(batch: _Batch[Key], feed: _Feed[Key]) -> Part[Key]:
    source = batch.source
    try:
        calls = [] if batch.calls is None else feed.result(batch.calls)
        rows = [feed.result(call)() for call in calls]
    except InputError as error:
        feed.drop(source)
        source.close()
        return Part(source.key, error=error, last=True)
    if batch.last:
        source.close()
    return Part(source.key, np.concatenate(rows) if rows else None, last=batch.last)


def _settle(batch: _Batch[Key]) -> None:
    """Waits for a batch that no one wants any more: its source must not be closed while it is read."""
    if batch.calls is None or batch.calls.cancel():
        return
    if batch.calls.exception() is None:
        for call in batch.calls.result():
            call.cancel()


def _pieces(images: Sequence[Image], size: int) -> list[UInt8[np.ndarray, "batch _ _ 3"]]:
    """Stacks of at most ``size`` images; one of another size than its neighbours begins a stack of its own."""
    for image in images:
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise DataError(f"an image to encode is {image.shape} {image.dtype}, wanted (height, width, 3) uint8")
    alike = [list(group) for _, group in groupby(images, key=lambda image: image.shape)]
    return [np.stack(group[k : k + size]) for group in alike for k in range(0, len(group), size)]
