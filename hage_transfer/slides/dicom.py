"""DICOM slides: a series of instances (levels, label, overview, thumbnail) is one slide, in its own folder or not."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hage_transfer.damage import reading
from hage_transfer.errors import DataError

if TYPE_CHECKING:
    import pydicom

_TAGS = (
    "SeriesInstanceUID",
    "Modality",
    "ContainerIdentifier",
    "ImageType",
    "SamplesPerPixel",
    "TotalPixelMatrixColumns",
)
_MAGIC_AT, _MAGIC = 128, b"DICM"


@dataclass(frozen=True)
class Series:
    """The instances of one DICOM slide in a folder.

    Attributes:
        uid: SeriesInstanceUID.
        container: ContainerIdentifier, the slide's own name; empty where there is none.
        paths: of the instances, the largest image first.
        samples: numbers a pixel of the largest image: 3 for a brightfield slide.
    """

    uid: str
    container: str
    paths: tuple[Path, ...]
    samples: int


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps pydicom's and wsidicom's warnings and log out of ours: what matters of them becomes an error of ours."""
    loggers = [logging.getLogger(name) for name in (None, "pydicom")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.addFilter(_nothing)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(_nothing)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does, whatever its ending."""
    try:
        with path.open("rb") as handle:
            handle.seek(_MAGIC_AT)
            return handle.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def series_in(folder: Path) -> list[Series]:
    """The DICOM slides whose instances lie in a folder, by their first instance's name; those below it are not sought.

    Raises:
        DataError: an instance that cannot be read.
    """
    return series_of([path for path in sorted(folder.iterdir()) if path.is_file() and is_dicom(path)])


def series_of(paths: Sequence[Path]) -> list[Series]:
    """The slides of some instances; what is no slide microscopy is left out.

    Raises:
        DataError: an instance that cannot be read.
    """
    found: dict[str, list[tuple[int, Path, pydicom.Dataset]]] = {}
    for path in paths:
        head = _header(path)
        if str(head.get("Modality", "SM")) == "SM":
            width = int(head.get("TotalPixelMatrixColumns", 0) or 0) if _is_level(head) else 0
            found.setdefault(str(head.get("SeriesInstanceUID", "")), []).append((width, path, head))
    return [_series(uid, instances) for uid, instances in found.items()]


def series_uid(path: Path) -> str | None:
    """The series that a file is an instance of; None where it is no DICOM."""
    return str(_header(path).get("SeriesInstanceUID", "")) if is_dicom(path) else None


def refuse_channels(path: Path, series: Series) -> None:
    """Refuses a series of one sample a pixel.

    Raises:
        DataError: see above.
    """
    if series.samples == 1:
        raise DataError(
            f"{path}: a fluorescence slide, one sample a pixel in DICOM; encoders of brightfield slides (H&E) cannot "
            "read it: give the brightfield scan"
        )


def _series(uid: str, instances: "list[tuple[int, Path, pydicom.Dataset]]") -> Series:
    ordered = sorted(instances, key=lambda one: (-one[0], one[1].name))
    head = ordered[0][2]
    container = str(head.get("ContainerIdentifier", "") or "")
    samples = int(head.get("SamplesPerPixel", 3) or 3)
    return Series(uid, container, tuple(path for _, path, _ in ordered), samples)


def _is_level(head: "pydicom.Dataset") -> bool:
    kinds = {str(kind).upper() for kind in head.get("ImageType", [])}
    return not kinds & {"LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER"}


def _nothing(record: logging.LogRecord) -> bool:
    """A filter of what a logger itself is given; what its children log passes by."""
    return False


def _header(path: Path) -> "pydicom.Dataset":
    import pydicom  # half a second, for slides of one kind
    from pydicom.errors import InvalidDicomError

    with reading(path, "damaged DICOM", InvalidDicomError, remedy="fetch it again"), quiet():
        head = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
        for name in _TAGS:
            head.get(name)  # values are decoded when they are asked for
    return head
