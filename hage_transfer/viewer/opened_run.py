"""A run under view: its contents, its open slides, and the tables and tiles that were asked for last."""

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cachetools import LRUCache
from PIL import Image

from hage_transfer.errors import DataError
from hage_transfer.running.byte_cache import ByteCache
from hage_transfer.running.file_stamp import stamp_in_url
from hage_transfer.slides.geojson import read_geojson
from hage_transfer.slides.polygons import Piece
from hage_transfer.viewer.cohort_range import CohortRange, CohortRanges
from hage_transfer.viewer.contents import Contents, ListedSlide
from hage_transfer.viewer.layer import GeneSets, Layer
from hage_transfer.viewer.slide_pool import OpenSlide, SlidePool
from hage_transfer.viewer.tile_table import TileTable, read_tile_table

JPEG: dict[str, Any] = {"format": "JPEG", "quality": 90, "subsampling": 0}
_KEPT_TABLES = 8
_TILE_BYTES = 2**26
_THUMBNAIL_LEVEL = 7
_RANGE_S = 1.0
_READ_IN_PASSING_PX = 2**28


class NoSuchTileError(LookupError):
    """A slide has no such level, column or row."""


class OpenedRun:
    """What requests share. Safe to use from several threads; memory is bounded.

    Args:
        read: reads the contents of the run; asked again when the page is opened anew.
        gene_sets: shown as layers beside the genes.
        readers: tiles that are read at a time; the rest wait.
    """

    def __init__(
        self, read: Callable[[], Contents], *, gene_sets: GeneSets | None = None, readers: int | None = None
    ) -> None:
        self.gene_sets: GeneSets = gene_sets or {}
        self._read_contents, self.contents = read, read()
        self.pool, self.tiles = SlidePool(), ByteCache[bytes](_TILE_BYTES, len)
        self._readers = threading.BoundedSemaphore(readers or (os.cpu_count() or 2))
        self._overviews = threading.Lock()
        self._tables: LRUCache[Path, TileTable] = LRUCache(_KEPT_TABLES)
        self._lock = threading.Lock()
        self._ranges = CohortRanges()

    def reread(self) -> Contents:
        """The contents as the run has them now: it may have been run again, or have got heatmaps.

        Raises:
            DataError: it holds no slides any more.
        """
        self.contents = self._read_contents()
        return self.contents

    def tile(self, listed: ListedSlide, *, level: int, column: int, row: int) -> bytes:
        """A deep-zoom tile as JPEG.

        Raises:
            NoSuchTileError: see above.
            DataError: the slide is missing or damaged.
        """
        path = slide_path(listed)
        key = stamp_in_url(path), level, column, row
        held = self.tiles.get(key)
        if held is not None:
            return held
        tile = self._read(listed, path, (level, column, row))
        self.tiles.put(key, tile)
        return tile

    def thumbnail(self, listed: ListedSlide) -> bytes | None:
        """The slide as a JPEG of 64 to 128 px; None where a minute's reading would come before. Errors as ``tile``."""
        with self.pool.borrow(slide_path(listed), mpp_um_per_px=listed.mpp_um_per_px) as opened:
            level = min(_THUMBNAIL_LEVEL, opened.zoom.n_levels - 1)
            if opened.lacks_overview(level) and opened.zoom.width_px * opened.zoom.height_px > _READ_IN_PASSING_PX:
                return None
        return self.tile(listed, level=level, column=0, row=0)

    def cohort_range(self, source: str, layer: Layer) -> CohortRange:
        """The range of a layer over all slides that have tiles of a source, as far as it can be told in a second."""
        paths = [slide.overlays[source] for slide in self.contents.slides.values() if source in slide.overlays]
        return self._ranges.of(paths, layer, self.gene_sets, budget_s=_RANGE_S)

    def table(self, path: Path) -> TileTable:
        """Tiles of a slide; read again where the file has changed.

        Raises:
            DataError: missing or damaged.
        """
        with self._lock:
            held = self._tables.get(path)
            if held is None or held.stamp != stamp_in_url(path):
                held = self._tables[path] = read_tile_table(path)
            return held

    def tissue(self, listed: ListedSlide) -> list[Piece]:
        """Pieces of tissue at level 0; none where no file says so.

        Raises:
            DataError: the file is damaged, or the slide cannot be opened.
        """
        if listed.tissue is None:
            return []
        with self.pool.borrow(slide_path(listed), mpp_um_per_px=listed.mpp_um_per_px) as opened:
            slide = opened.slide
            return read_geojson(
                listed.tissue, width_px=slide.width_px, height_px=slide.height_px, origin_px=slide.origin_px
            )

    def close(self) -> None:
        """Closes the slides."""
        self.pool.close()

    def _read(self, listed: ListedSlide, path: Path, place: tuple[int, int, int]) -> bytes:
        with self._readers, self.pool.borrow(path, mpp_um_per_px=listed.mpp_um_per_px) as opened:
            if not opened.lacks_overview(place[0]):
                return _encoded(opened, *place)
        # An overview takes seconds or more: one at a time is made, and no other tile waits for it.
        with self._overviews, self.pool.borrow(path, mpp_um_per_px=listed.mpp_um_per_px) as opened:
            return _encoded(opened, *place)


def slide_path(listed: ListedSlide) -> Path:
    """A slide's file.

    Raises:
        DataError: it was not found; the message says where.
    """
    if listed.path is None:
        raise DataError(
            f"slide {listed.name}: not found, looked in {listed.sought}; say where it is with slides=FOLDER"
        )
    return listed.path


def _encoded(opened: OpenSlide, level: int, column: int, row: int) -> bytes:
    box = opened.zoom.box(level, column, row)
    if box is None:
        raise NoSuchTileError(f"no tile {column}, {row} at level {level}")
    buffer = io.BytesIO()
    Image.fromarray(opened.pixels(level, box)).save(buffer, **JPEG)
    return buffer.getvalue()
