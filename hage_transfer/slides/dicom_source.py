"""DICOM slides that OpenSlide does not read (RLE, JPEG-LS, concatenations, ...), by wsidicom, an extra."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hage_transfer.damage import reading
from hage_transfer.errors import DataError, install_extra
from hage_transfer.slides.dicom import quiet
from hage_transfer.slides.resolution import Recorded
from hage_transfer.slides.scanner import scanner_of


class DicomSource:
    """An open series of wsidicom; see ``PixelSource``."""

    origin_px: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ("DICOM, read by wsidicom",)

    def __init__(self, paths: Sequence[Path], *, why_not_openslide: str) -> None:
        """Opens the instances of one series.

        Raises:
            DataError: wsidicom is not installed, or cannot read it either.
        """
        self._path = paths[0]
        try:
            with quiet():
                from wsidicom import WsiDicom, errors
        except ImportError:
            raise DataError(
                f"{self._path}: OpenSlide cannot read this DICOM slide ({why_not_openslide}); install the extra "
                f"that may: {install_extra('dicom')}"
            ) from None
        kinds = (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception))
        self._faults = tuple(kinds)  # they have no base of their own
        what = f"a DICOM slide that OpenSlide does not read ({why_not_openslide}), nor wsidicom"
        with reading(self._path, what, *self._faults, remedy="is the series whole? fetch it again"), quiet():
            self._slide = WsiDicom.open([str(path) for path in paths])
            self._levels = list(self._slide.levels)
            first, equipment = self._levels[0].mpp, self._slide.metadata.equipment
        told = {"dicom.Manufacturer": equipment.manufacturer, "dicom.ManufacturerModelName": equipment.model_name}
        self.scanner = scanner_of({name: value or "" for name, value in told.items()})
        self.level_sizes_px: tuple[tuple[int, int], ...] = tuple(
            (int(level.size.width), int(level.size.height)) for level in self._levels
        )
        self.recorded: tuple[Recorded, ...] = (Recorded(first.width, first.height, "its metadata"),)
        self._lock = threading.Lock()

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        what = f"damaged at ({x_px}, {y_px}) of level {level}"
        with reading(self._path, what, *self._faults, remedy="fetch the series again"), self._lock, quiet():
            region = self._slide.read_region((x_px, y_px), self._levels[level].level, (width_px, height_px))
            return np.asarray(region.convert("RGB"))

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._slide.close()
