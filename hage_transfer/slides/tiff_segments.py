"""The tiles and strips of a TIFF: read from the file, decoded, and checked to be all that they should be."""

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Shaped

from hage_transfer.damage import DAMAGE
from hage_transfer.errors import DataError
from hage_transfer.slides.jpeg_streams import jpeg_fault
from hage_transfer.slides.tiff_facts import segment_shape
from hage_transfer.slides.tiff_kind import JPEG

_MAPPED_BYTES = 2**26
"""Uncompressed images larger than this, in one piece, are mapped instead of read."""

_FAULTS: tuple[type[Exception], ...] = (tifffile.TiffFileError, *DAMAGE)


class TiffSegments:
    """Samples of an open TIFF as they are stored; reading from several threads is safe."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile) -> None:
        self._path, self._tiff = path, tiff
        self._lock = threading.Lock()
        self._maps: dict[int, np.ndarray | None] = {}

    def samples(self, page: tifffile.TiffPage, index: int) -> Shaped[np.ndarray, "h w sample"] | None:
        """One tile or strip, of all planes; None where the file holds none (a sparse TIFF).

        Raises:
            DataError: damaged.
        """
        planes = planes_of(page)
        count = len(page.databytecounts) // planes
        parts = [self._plane(page, index + plane * count) for plane in range(planes)]
        found = [part for part in parts if part is not None]
        if len(found) < planes:
            return None
        return found[0] if planes == 1 else np.concatenate(found, axis=2)

    def mapped(self, page: tifffile.TiffPage) -> Shaped[np.ndarray, "h w sample"] | None:
        """The whole page, mapped, where it lies in the file as it is and is large."""
        if page.offset not in self._maps:
            self._maps[page.offset] = self._map(page)
        return self._maps[page.offset]

    def damaged(self, index: int, error: object) -> DataError:
        """The error that names a damaged tile or strip."""
        return DataError(f"{self._path}: damaged in tile or strip {index} ({error}); fetch the file again")

    def _plane(self, page: tifffile.TiffPage, index: int) -> np.ndarray | None:
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
        return self._decode(page, data, index)

    def _decode(self, page: tifffile.TiffPage, data: bytes, index: int) -> np.ndarray:
        high, wide = segment_shape(page)
        tables: dict[str, Any] = {}
        if int(page.compression) == JPEG:
            fault = jpeg_fault(data, max_width_px=wide, max_height_px=high)
            if fault is not None:
                raise self.damaged(index, fault)
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        try:
            decoded, place, _ = page.decode(data, index, **tables)
        except _FAULTS as error:
            raise self.damaged(index, error) from None
        segment = np.empty((0, 0, 1), page.dtype) if decoded is None else decoded[0]
        if page.dtype == bool:
            segment = segment.astype(bool, copy=False)  # the decoder of fax gives bytes
        due = min(high, int(page.imagelength) - place[2]), min(wide, int(page.imagewidth) - place[3])
        if segment.shape[0] < due[0] or segment.shape[1] < due[1] or segment.dtype != page.dtype:
            raise self.damaged(index, f"{segment.shape[1]} x {segment.shape[0]} px of {segment.dtype} in it")
        return segment[: due[0], : due[1]]

    def _map(self, page: tifffile.TiffPage) -> np.ndarray | None:
        if page.is_tiled or int(page.compression) != 1 or page.nbytes < _MAPPED_BYTES or not page.is_memmappable:
            return None
        sides = int(page.imagelength), int(page.imagewidth)
        samples = int(page.samplesperpixel)
        shape = (samples, *sides) if planes_of(page) > 1 else (*sides, samples)
        dtype = np.dtype(page.dtype).newbyteorder(self._tiff.byteorder)
        try:
            pixels = np.memmap(self._path, dtype=dtype, mode="r", offset=page.dataoffsets[0], shape=shape)
        except (OSError, ValueError) as error:
            raise self.damaged(0, error) from None
        return pixels.transpose(1, 2, 0) if planes_of(page) > 1 else pixels


def planes_of(page: tifffile.TiffPage) -> int:
    """Planes that a page is stored in: 1 where the samples of a pixel stand together."""
    return int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1


def segments_across(page: tifffile.TiffPage) -> int:
    """Tiles in a row; 1 for strips."""
    return math.ceil(page.imagewidth / segment_shape(page)[1])
