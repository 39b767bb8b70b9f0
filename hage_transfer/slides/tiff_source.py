"""Plain and OME TIFF, read segment by segment: only the tiles or strips that a region touches are decoded."""

import lzma
import math
import threading
import zlib
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import UInt8

from hage_transfer.errors import DataError
from hage_transfer.slides.image_source import PYRAMID_REMEDY
from hage_transfer.slides.resolution import Recorded
from hage_transfer.slides.segment_cache import SegmentCache, place
from hage_transfer.slides.sources import over_white
from hage_transfer.slides.tiff_facts import recorded_in_tiff, segment_shape

_MAX_SEGMENT_BYTES = 2**30
_CACHE_BYTES = 2**27
_DECODING_FAULTS = (ValueError, RuntimeError, OSError, EOFError, zlib.error, lzma.LZMAError)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = 0, 1, 2, 3


class TiffSource:
    """An open TIFF; see ``PixelSource``. Reading from several threads is safe.

    Raises:
        DataError: pixels of a kind that is no brightfield image (many channels, floats), or strips too large to decode.
    """

    origin_px: tuple[int, int] = (0, 0)

    def __init__(self, path: Path, tiff: tifffile.TiffFile) -> None:
        self._path, self._tiff = path, tiff
        self._levels = _level_pages(tiff)
        for page in self._levels:
            _check_page(path, page)
        self.level_sizes_px: tuple[tuple[int, int], ...] = tuple(
            (int(page.imagewidth), int(page.imagelength)) for page in self._levels
        )
        self.recorded: tuple[Recorded, ...] = recorded_in_tiff(tiff)
        self.notes: tuple[str, ...] = _notes(self._levels[0], len(tiff.pages) - len(self._levels))
        self._cache = SegmentCache(_CACHE_BYTES)
        self._lock = threading.Lock()

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        page = self._levels[level]
        high, wide = segment_shape(page)
        across, down = math.ceil(page.imagewidth / wide), math.ceil(page.imagelength / high)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        region = np.full((height_px, width_px, page.samplesperpixel), _blank(page), page.dtype)
        for row in range(y_px // high, (y_px + height_px - 1) // high + 1):
            for column in range(x_px // wide, (x_px + width_px - 1) // wide + 1):
                for plane in range(planes):
                    segment = self._segment(level, page, (plane * down + row) * across + column)
                    if segment is not None:
                        part = region if planes == 1 else region[..., plane : plane + 1]
                        place(part, segment, column * wide - x_px, row * high - y_px)
        return _to_rgb(page, region)

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._tiff.close()

    def _segment(self, level: int, page: tifffile.TiffPage, index: int) -> np.ndarray | None:
        """A decoded tile or strip (height, width, sample); None where the file holds none (a sparse TIFF)."""
        if (kept := self._cache.get((level, index))) is not None:
            return kept
        count = page.databytecounts[index]
        if not count:
            return None
        try:
            with self._lock:
                handle = self._tiff.filehandle
                handle.seek(page.dataoffsets[index])
                data = handle.read(count)
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read ({error.strerror or error}); see its disk") from None
        segment = self._decode(page, data, index)
        self._cache.put((level, index), segment)
        return segment

    def _decode(self, page: tifffile.TiffPage, data: bytes, index: int) -> np.ndarray:
        try:
            segment, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
        except _DECODING_FAULTS as error:
            raise self._damaged(index, error) from None
        if segment is None:
            raise self._damaged(index, ValueError("no data"))
        return segment[0, : shape[1], : shape[2]]

    def _damaged(self, index: int, error: Exception) -> DataError:
        return DataError(f"{self._path}: damaged in tile or strip {index} ({error}); fetch the file again")


def decodable(page: tifffile.TiffPage) -> bool:
    """Whether tifffile can decode a page here (LZW and JPEG need its optional companion imagecodecs)."""
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError:
        return False
    return True


def _level_pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The first image and its reduced forms, in SubIFDs or in pages marked as reduced, largest first."""
    first = tiff.pages[0]
    reduced = [page for page in first.pages or () if isinstance(page, tifffile.TiffPage)]
    reduced += [page for page in list(tiff.pages)[1:] if getattr(page, "subfiletype", 0) & 1]
    alike = [page for page in reduced if (page.samplesperpixel, page.dtype) == (first.samplesperpixel, first.dtype)]
    smaller = [page for page in alike if page.imagewidth < first.imagewidth and decodable(page)]
    return [first, *sorted(smaller, key=lambda page: -page.imagewidth)]


def _check_page(path: Path, page: tifffile.TiffPage) -> None:
    if page.dtype is None or page.dtype.kind not in "ub" or page.dtype.itemsize > 2:
        kind = "samples of an unknown kind" if page.dtype is None else f"{page.dtype} samples"
        raise DataError(f"{path}: {kind}; a brightfield slide has 8 or 16 bits; save it as 8-bit RGB")
    kinds = {1: {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE}, 3: {_RGB, _BLACK_IS_ZERO}, 4: {_RGB}}
    if int(page.photometric) not in kinds.get(page.samplesperpixel, ()):
        raise DataError(
            f"{path}: {page.samplesperpixel} channels a pixel, photometric {int(page.photometric)}; "
            "a brightfield slide is RGB, RGBA, grey or palette; save it as 8-bit RGB"
        )
    height, width = segment_shape(page)
    size = height * width * page.samplesperpixel * page.dtype.itemsize
    if size > _MAX_SEGMENT_BYTES:
        raise DataError(
            f"{path}: {page.imagewidth} x {page.imagelength} px in strips or tiles of {size / 2**30:.0f} GiB; "
            f"{PYRAMID_REMEDY}"
        )


def _notes(page: tifffile.TiffPage, others: int) -> tuple[str, ...]:
    notes = ["grey"] if page.samplesperpixel == 1 and int(page.photometric) != _PALETTE else []
    notes += ["16 bits, of which the upper 8 are read"] if page.dtype.itemsize == 2 else []
    notes += [f"{others} other images in the file, not read"] if others > 0 else []
    return tuple(notes)


def _blank(page: tifffile.TiffPage) -> int:
    """The value that is white: what a sparse TIFF's missing tile shows."""
    if int(page.photometric) == _WHITE_IS_ZERO:
        return 0
    return 1 if page.dtype.kind == "b" else int(np.iinfo(page.dtype).max)


def _to_rgb(page: tifffile.TiffPage, region: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    photometric = int(page.photometric)
    if photometric == _PALETTE:
        return (page.colormap[:, region[..., 0]].transpose(1, 2, 0) >> 8).astype(np.uint8)
    if region.dtype.kind == "b":
        region = region.astype(np.uint8) * 255
    elif region.dtype.itemsize == 2:
        region = (region >> 8).astype(np.uint8)
    if photometric == _WHITE_IS_ZERO:
        region = 255 - region
    if region.shape[2] == 1:
        return np.repeat(region, 3, axis=2)
    return over_white(region) if region.shape[2] == 4 else region
