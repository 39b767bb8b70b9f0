"""JPEG tiles of a TIFF, decoded without OpenSlide: the same pixels in a fifth of its time.

OpenSlide's own libjpeg and its drawing of every tile onto a canvas took 1.29 ms for a tile of 256 px, OpenCV 0.25 ms,
and imagecodecs takes three quarters of that. What cannot be read here, for whatever reason, is left to OpenSlide.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from jaxtyping import UInt8

from hage_transfer.damage import DAMAGE
from hage_transfer.running.byte_cache import ByteCache
from hage_transfer.slides.jpeg_streams import jpeg_fault
from hage_transfer.slides.sources import place

_CACHE_BYTES = 2**26
_JPEG, _RGB, _YCBCR = 7, 2, 6
_START, _END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True, kw_only=True)
class JpegLevel:
    """Where the tiles of one level are in the file.

    Attributes:
        width_px: of the level.
        height_px: of the level.
        tile_width_px: of a tile.
        tile_height_px: of a tile.
        offsets: of each tile's data, row by row.
        counts: bytes of each; 0 where the file holds none.
        head: what comes before a tile's own data: the level's tables, and a marker of its colours.
    """

    width_px: int
    height_px: int
    tile_width_px: int
    tile_height_px: int
    offsets: Sequence[int]
    counts: Sequence[int]
    head: bytes

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return math.ceil(self.width_px / self.tile_width_px)

    def fullest(self) -> tuple[int, int, int, int]:
        """The tile that shows most, by its bytes: x, y, width, height within the level, px."""
        down = math.ceil(self.height_px / self.tile_height_px)
        index = int(np.argmax(self.counts[: self.across * down]))  # a damaged header may list more
        x, y = index % self.across * self.tile_width_px, index // self.across * self.tile_height_px
        return x, y, min(self.tile_width_px, self.width_px - x), min(self.tile_height_px, self.height_px - y)


def jpeg_levels(tiff: tifffile.TiffFile, sizes_px: Sequence[tuple[int, int]]) -> dict[int, JpegLevel]:
    """The levels, by their index among ``sizes_px`` (width, height), that one page of plain JPEG tiles holds."""
    found = {}
    every: list[Any] = list(tiff.pages)  # a look at tiff.pages may parse them anew
    for index, (width, height) in enumerate(sizes_px):
        pages = [page for page in every if (page.imagewidth, page.imagelength) == (width, height)]
        if len(pages) == 1 and isinstance(pages[0], tifffile.TiffPage) and _is_plain(pages[0]):
            page = pages[0]
            found[index] = JpegLevel(
                width_px=width, height_px=height,
                tile_width_px=int(page.tilewidth), tile_height_px=int(page.tilelength),
                offsets=page.dataoffsets, counts=page.databytecounts, head=_head(page),
            )  # fmt: skip
    return found


class JpegTiles:
    """The open file; reading from several threads is safe."""

    def __init__(self, path: Path, levels: Mapping[int, JpegLevel]) -> None:
        self.levels = levels
        self._file = path.open("rb")
        self._lock = threading.Lock()
        self._cache = ByteCache[np.ndarray](_CACHE_BYTES, lambda tile: tile.nbytes)

    def read(
        self, level: int, x_px: int, y_px: int, width_px: int, height_px: int
    ) -> UInt8[np.ndarray, "h w 3"] | None:
        """Pixels of a rectangle that lies wholly in ``level``; None where a tile is missing or cannot be decoded."""
        facts = self.levels[level]
        wide, high = facts.tile_width_px, facts.tile_height_px
        region = np.empty((height_px, width_px, 3), np.uint8)
        for row in range(y_px // high, (y_px + height_px - 1) // high + 1):
            for column in range(x_px // wide, (x_px + width_px - 1) // wide + 1):
                tile = self._tile(level, row * facts.across + column)
                if tile is None:
                    return None
                place(region, tile, column * wide - x_px, row * high - y_px)
        return region

    def close(self) -> None:
        """Gives the file back."""
        self._file.close()

    def _tile(self, level: int, index: int) -> UInt8[np.ndarray, "h w 3"] | None:
        if (kept := self._cache.get((level, index))) is not None:
            return kept
        facts = self.levels[level]
        try:
            with self._lock:
                self._file.seek(facts.offsets[index])
                data = self._file.read(facts.counts[index])
        except OSError:  # a disk or a mount that fails: OpenSlide says so in its own words
            return None
        tile = _decoded(facts, data)
        if tile is not None:
            self._cache.put((level, index), tile)
        return tile


def _decoded(facts: JpegLevel, data: bytes) -> UInt8[np.ndarray, "h w 3"] | None:
    if jpeg_fault(data, max_width_px=facts.tile_width_px, max_height_px=facts.tile_height_px) is not None:
        return None
    try:
        tile: np.ndarray = imagecodecs.jpeg8_decode(facts.head + data[len(_START) :])
    except DAMAGE:
        return None
    wanted = facts.tile_height_px, facts.tile_width_px, 3
    return tile if (tile.shape, tile.dtype) == (wanted, np.uint8) else None


def _is_plain(page: tifffile.TiffPage) -> bool:
    return (
        page.is_tiled
        and int(page.compression) == _JPEG
        and int(page.photometric) in (_RGB, _YCBCR)
        and (page.samplesperpixel, page.bitspersample, int(page.planarconfig)) == (3, 8, 1)
        and (page.tiledepth or 1) == 1
    )


def _head(page: tifffile.TiffPage) -> bytes:
    """Start of each tile's JPEG: tables, then Adobe's marker, which alone tells RGB from YCbCr where no ids do."""
    tables = (page.jpegtables or _START + _END).removesuffix(_END)
    transform = int(int(page.photometric) == _YCBCR)
    return tables + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
