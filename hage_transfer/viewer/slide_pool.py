"""Open slides, few at a time, shared by requests; and the encoded tiles that were asked for last."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from hage_transfer.running.file_stamp import stamp_in_url
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.slide import Slide
from hage_transfer.viewer.deep_zoom import DeepZoom, needs_overview, overview_level, read_overview, read_tile
from hage_transfer.viewer.overview_pyramid import OverviewPyramid


@dataclass
class OpenSlide:
    """A slide that is open, as its file was when ``stamp`` was taken; ``pyramid`` where it has too few levels."""

    slide: Slide
    zoom: DeepZoom
    stamp: str
    pyramid: OverviewPyramid | None
    _decoding: threading.Lock = field(default_factory=threading.Lock)
    _decoded: bool = False

    def pixels(self, level: int, box_px: tuple[int, int, int, int]) -> np.ndarray:
        """Pixels of a tile, ``box_px`` as ``zoom`` gives it: of the overview's pyramid, or the slide's own.

        Raises:
            DataError: damaged, or so large without a pyramid that reading it would take hours.
        """
        if self.pyramid is not None and needs_overview(self.slide, self.zoom.scale(level)):
            left, top, width, height = box_px
            return self.pyramid.level(level)[top : top + height, left : left + width]
        self._decode()
        return read_tile(self.slide, self.zoom, box_px, level=level)

    def lacks_overview(self, level: int) -> bool:
        """Whether tiles of a level of ``zoom`` are made from the overview, and it has to be read for them."""
        return (
            self.pyramid is not None
            and needs_overview(self.slide, self.zoom.scale(level))
            and not self.pyramid.has(level)
        )

    def _decode(self) -> None:
        """Decodes a plain image, once: not by each request that is first to want its pixels."""
        with self._decoding:
            if not self._decoded:
                self.slide.read_region(0, 0, level=0, width_px=1, height_px=1)
                self._decoded = True


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    stack: ExitStack = field(default_factory=ExitStack)
    opened: OpenSlide | None = None
    users: int = 0


class SlidePool:
    """Slides by file, opened when first borrowed; the one not borrowed for longest is closed past ``max_open``.

    A file that was replaced is another slide: what is open of the old one serves those who borrowed it, and ends.
    """

    def __init__(self, *, max_open: int = 4) -> None:
        self._max_open = max_open
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[Path, str], _Entry] = OrderedDict()

    @contextmanager
    def borrow(self, path: Path, *, mpp_um_per_px: float | None = None) -> Iterator[OpenSlide]:
        """A slide, open for as long as it is borrowed.

        Raises:
            DataError: missing, damaged, or not a slide.
        """
        key = path, stamp_in_url(path)
        entry = self._take(key)
        try:
            with entry.lock:
                if entry.opened is None:
                    entry.opened = _open(*key, entry.stack, mpp_um_per_px)
            yield entry.opened
        finally:
            self._give_back(key, entry)

    def close(self) -> None:
        """Closes all slides; none may be borrowed."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.stack.close()

    def __len__(self) -> int:
        return len(self._entries)

    def _take(self, key: tuple[Path, str]) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            entry.users += 1
            return entry

    def _give_back(self, key: tuple[Path, str], entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            if entry.opened is None and not entry.users:  # it could not be opened
                self._entries.pop(key, None)
            idle = [one for one, held in self._entries.items() if not held.users]
            surplus = [self._entries.pop(one) for one in idle[: max(0, len(self._entries) - self._max_open)]]
        for old in surplus:
            old.stack.close()


def _open(path: Path, taken: str, stack: ExitStack, mpp_um_per_px: float | None) -> OpenSlide:
    slide = stack.enter_context(open_slide(path, own_mpp_um_per_px=mpp_um_per_px, needs_resolution=False))
    zoom = DeepZoom(slide.width_px, slide.height_px)
    finest = overview_level(slide, zoom)
    pyramid = None
    if finest is not None:
        pyramid = OverviewPyramid(path, taken, zoom, finest, partial(read_overview, slide, zoom, finest))
    return OpenSlide(slide, zoom, taken, pyramid)
