"""Plain and OME TIFF, read segment by segment: only the tiles or strips that a region touches are decoded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import UInt8

from hage_transfer.running.byte_cache import ByteCache
from hage_transfer.slides.resolution import Recorded
from hage_transfer.slides.samples import SampleKind, to_rgb
from hage_transfer.slides.scanner import scanner_in_tiff
from hage_transfer.slides.sources import BLACK_AND_WHITE, CMYK, GREY, place
from hage_transfer.slides.tiff_depth import settle_depth
from hage_transfer.slides.tiff_facts import ome_significant_bits, recorded_in_tiff, segment_shape
from hage_transfer.slides.tiff_kind import kind_of
from hage_transfer.slides.tiff_picture import find_picture, shows_the_same
from hage_transfer.slides.tiff_segments import TiffSegments, planes_of, segments_across

_CACHE_BYTES, _STRIP_CACHE_BYTES = 2**27, 3 * 2**27
"""Of tiles; and of strips, which are as wide as the picture: most sections of an array fit, and are decoded once."""
_BLOCK_ROWS = 64


class TiffSource:
    """An open TIFF; see ``PixelSource``. Reading from several threads is safe.

    Attributes:
        orientation: the picture's orientation tag, 1 where there is none; the source gives the pixels as stored.

    Raises:
        DataError: no picture of a stained slide in it (see ``kind_of``, ``find_picture``), or damaged data.
    """

    origin_px: tuple[int, int] = (0, 0)

    def __init__(self, path: Path, tiff: tifffile.TiffFile) -> None:
        self._path, self._tiff = path, tiff
        self._segments = TiffSegments(path, tiff)
        picture = find_picture(path, tiff)
        main = picture.main
        kept = _CACHE_BYTES if main.is_tiled else _STRIP_CACHE_BYTES
        self._cache = ByteCache[np.ndarray](kept, lambda block: block.nbytes)
        self._kind, depth = settle_depth(kind_of(path, main), main, self._segments, ome_bits=ome_significant_bits(tiff))
        self._kinds = {page.offset: self._kind_like_main(page) for page in (main, *picture.reduced, *picture.unsure)}
        same = [page for page in picture.unsure if shows_the_same(main, page, self._read)]
        self._levels = sorted([main, *picture.reduced, *same], key=lambda page: -int(page.imagewidth))
        self.orientation = main.tags.valueof(274, 1)
        self.level_sizes_px: tuple[tuple[int, int], ...] = tuple(
            (int(page.imagewidth), int(page.imagelength)) for page in self._levels
        )
        self.recorded: tuple[Recorded, ...] = recorded_in_tiff(tiff, main)
        self.scanner = scanner_in_tiff(tiff, main)
        others = picture.others + len(picture.unsure) - len(same)
        self.notes: tuple[str, ...] = (*_notes(self._kind, others), *depth)

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        return self._read(self._levels[level], x_px, y_px, width_px, height_px)

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._tiff.close()

    def _read(self, page: tifffile.TiffPage, x: int, y: int, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        if (mapped := self._segments.mapped(page)) is not None:
            return self._as_rgb(page, mapped[y : y + height, x : x + width], 0)
        region = np.full((height, width, 3), 255, np.uint8)
        high, wide = segment_shape(page)
        high *= _strips_together(page)
        for row in range(y // high, (y + height - 1) // high + 1):
            for column in range(x // wide, (x + width - 1) // wide + 1):
                block = self._block(page, row, column)
                if block is not None:
                    place(region, block, column * wide - x, row * high - y)
        return region

    def _block(self, page: tifffile.TiffPage, row: int, column: int) -> UInt8[np.ndarray, "h w 3"] | None:
        """A tile, or some strips together, as RGB; None where the file holds none (a sparse TIFF)."""
        key = (page.offset, row, column)
        if (kept := self._cache.get(key)) is not None:
            return kept
        together = _strips_together(page)
        first = (row * together) * segments_across(page) + column
        last = min(first + together, len(page.databytecounts) // planes_of(page))
        parts = [self._segments.samples(page, index) for index in range(first, last)]
        found = [part for part in parts if part is not None]
        if not found:
            return None
        if len(found) < len(parts):
            return self._with_gaps(page, parts)
        block = self._as_rgb(page, found[0] if len(found) == 1 else np.concatenate(found), first)
        self._cache.put(key, block)
        return block

    def _with_gaps(self, page: tifffile.TiffPage, parts: list[np.ndarray | None]) -> UInt8[np.ndarray, "h w 3"]:
        """Strips of which some are not in the file."""
        high, wide = segment_shape(page)
        block = np.full((high * len(parts), wide, 3), 255, np.uint8)
        for number, part in enumerate(parts):
            if part is not None:
                place(block, self._as_rgb(page, part, number), 0, number * high)
        return block

    def _as_rgb(self, page: tifffile.TiffPage, samples: np.ndarray, index: int) -> UInt8[np.ndarray, "h w 3"]:
        try:
            return to_rgb(samples, self._kinds[page.offset])
        except ValueError as error:
            raise self._segments.damaged(index, error) from None

    def _kind_like_main(self, page: tifffile.TiffPage) -> SampleKind:
        """A page's own kind, with the depth of the picture."""
        return replace(kind_of(self._path, page), bits=self._kind.bits, alpha_bits=self._kind.alpha_bits)


def _strips_together(page: tifffile.TiffPage) -> int:
    """Strips that are decoded and kept as one: many are a row or two high."""
    return 1 if page.is_tiled else max(1, _BLOCK_ROWS // segment_shape(page)[0])


def _notes(kind: SampleKind, others: int) -> tuple[str, ...]:
    colour = {"grey": BLACK_AND_WHITE if kind.bits == 1 else GREY, "cmyk": CMYK}.get(kind.colour)
    other = f"{others} other images in the file, not read" if others > 0 else None
    return tuple(note for note in (colour, other) if note is not None)
