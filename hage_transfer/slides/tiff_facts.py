"""What a TIFF's headers say before a pixel is read: levels, resolution, and whether the file holds all its data."""

import logging
import math
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from hage_transfer.csv_table import as_number
from hage_transfer.damage import reading
from hage_transfer.errors import DataError
from hage_transfer.slides.resolution import Recorded, from_tiff_tags
from hage_transfer.slides.sources import MAX_SIDE_PX
from hage_transfer.slides.units import um_per

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_APERIO_MPP = re.compile(r"\bMPP\s*=\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")


def is_tiff(path: Path) -> bool:
    """Whether the file begins as a TIFF or BigTIFF does, whatever its ending.

    Raises:
        DataError: empty, or not readable.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(4)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); see its permissions and its disk") from None
    if not start:
        raise DataError(f"{path}: the file is empty (0 bytes); fetch it again")
    return start in _MAGIC


@contextmanager
def tiff_faults(path: Path) -> Iterator[None]:
    """Turns what tifffile raises on a damaged file into a ``DataError``, and keeps its own log silent."""
    log = logging.getLogger("tifffile")

    def grave(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL

    log.addFilter(grave)  # a level that is set would empty what all loggers know, and other threads set it too
    try:
        with reading(path, "damaged TIFF", tifffile.TiffFileError, remedy="fetch it again"):
            yield
    finally:
        log.removeFilter(grave)


def check_whole(path: Path, tiff: tifffile.TiffFile) -> None:
    """Refuses a TIFF whose header promises what no file holds, or tiles that lie beyond the file's end.

    Raises:
        DataError: no image, absurd sides, or a truncated file.
    """
    if not len(tiff.pages):
        raise DataError(f"{path}: a TIFF without an image; fetch it again")
    size = path.stat().st_size
    _check_chain(path, tiff, size)
    for page in tiff.pages:
        if isinstance(page, tifffile.TiffPage):
            check_segments(path, page, size=size)


def check_segments(path: Path, page: tifffile.TiffPage, *, size: int) -> None:
    """Refuses a page of absurd sides, or whose tiles or strips are not all in a file of ``size`` bytes.

    Raises:
        DataError: as said.
    """
    width, height = int(page.imagewidth), int(page.imagelength)
    if not 0 < width <= MAX_SIDE_PX or not 0 < height <= MAX_SIDE_PX or min(segment_shape(page)) < 1:
        raise DataError(f"{path}: declares {width} x {height} px, which no scanner makes; its header is damaged")
    offsets = np.asarray(page.dataoffsets, dtype=np.uint64)
    counts = np.asarray(page.databytecounts, dtype=np.uint64)
    wanted = expected_segments(page)
    if min(len(offsets), len(counts)) < wanted or len(offsets) != len(counts):
        raise DataError(
            f"{path}: damaged header, {len(offsets)} of {wanted} tiles or strips of {width} x {height} px are "
            "listed; fetch it again"
        )
    beyond = int(((offsets + counts > size) & (counts > 0)).sum())
    if beyond:
        raise DataError(
            f"{path}: truncated, {beyond} of {len(offsets)} tiles or strips lie beyond its end ({size} bytes); "
            "fetch it again"
        )


def check_channels(path: Path, tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """Refuses channels and planes that lie in images of their own: the first of them would pass for the picture.

    Raises:
        DataError: several of them by OME's or ImageJ's metadata.
    """
    channels = planes = 1
    if tiff.is_ome and (pixels := _ome_pixels(tiff.ome_metadata)) is not None:
        channels, planes = _count(pixels, "SizeC"), _count(pixels, "SizeZ") * _count(pixels, "SizeT")
    elif tiff.is_imagej:
        facts = tiff.imagej_metadata or {}
        channels, planes = int(facts.get("channels", 1)), int(facts.get("slices", 1)) * int(facts.get("frames", 1))
        planes = max(planes, int(facts.get("images", 1)) // max(channels, 1))
    samples = max(int(page.samplesperpixel), 1)
    if channels > max(samples, 1):
        raise DataError(
            f"{path}: {channels} channels, each in an image of its own; a brightfield slide has three samples a pixel; "
            "save it as 8-bit RGB"
        )
    if planes > 1:
        raise DataError(f"{path}: {planes} images of one place (depths or times), of which none is the slide; save one")


def _check_chain(path: Path, tiff: tifffile.TiffFile, size: int) -> None:
    """The last page that was found must say that it is the last: else the file was cut before the next."""
    form, handle = tiff.tiff, tiff.filehandle
    last = tiff.pages[-1]
    handle.seek(last.offset)
    tags = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    handle.seek(last.offset + form.tagnosize + tags * form.tagsize)
    following = struct.unpack(form.offsetformat, handle.read(form.offsetsize))[0]
    if following >= size:
        raise DataError(f"{path}: truncated, an image that it lists lies beyond its end ({size} bytes); fetch it again")


def expected_segments(page: tifffile.TiffPage) -> int:
    """Tiles or strips that a page of its size needs."""
    height, width = segment_shape(page)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    return math.ceil(page.imagelength / height) * math.ceil(page.imagewidth / width) * planes


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """(height, width) of a page's tiles, or of its strips."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return min(int(page.rowsperstrip), int(page.imagelength)), int(page.imagewidth)


def recorded_in_tiff(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[Recorded, ...]:
    """Resolutions that a TIFF records: OME's PhysicalSize first, then ImageJ's unit, then the picture's own tags."""
    wanted = (page.tags.get(name) for name in ("XResolution", "YResolution", "ResolutionUnit"))
    tags = {tag.name: tag.value for tag in wanted if tag is not None}
    x, y = (_ratio(tags[name]) if name in tags else None for name in ("XResolution", "YResolution"))
    unit = int(tags.get("ResolutionUnit", 2))  # inch is TIFF's own default
    ome = _ome_resolution(tiff.ome_metadata) if tiff.is_ome else None
    imagej = str((tiff.imagej_metadata or {}).get("unit", "")) if tiff.is_imagej else ""
    found = [] if ome is None else [ome]
    aperio = _APERIO_MPP.search(page.description or "")
    if aperio:
        found.append(Recorded(float(aperio[1]), float(aperio[1]), "MPP in its description"))
    if imagej:
        found.append(from_tiff_tags(x, y, imagej, source="its ImageJ metadata"))
    return (*found, from_tiff_tags(x, y, unit))


def _ratio(value: object) -> float:
    if isinstance(value, tuple):
        numerator, denominator = value
        return float(numerator) / float(denominator) if denominator else 0.0
    return float(value)  # type: ignore[arg-type]


def _ome_resolution(xml: str | None) -> Recorded | None:
    """PhysicalSizeX and Y of the first image of an OME-XML text."""
    pixels = _ome_pixels(xml)
    if pixels is None:
        return None
    return Recorded(_ome_size(pixels, "X"), _ome_size(pixels, "Y"), "its OME metadata")


def ome_significant_bits(tiff: tifffile.TiffFile) -> int | None:
    """SignificantBits of OME's metadata; None where there are none."""
    pixels = _ome_pixels(tiff.ome_metadata) if tiff.is_ome else None
    return None if pixels is None else _count(pixels, "SignificantBits", absent=0) or None


def _count(pixels: ET.Element, name: str, *, absent: int = 1) -> int:
    text = pixels.get(name, "")
    return int(text) if text.isdecimal() else absent


def ome_pixels(xml: str | None) -> list[ET.Element]:
    """Pixels of each image of an OME-XML text, in its order; none where it is no XML."""
    try:
        return [node for node in ET.fromstring(xml or "").iter() if ome_tag(node) == "Pixels"]
    except ET.ParseError:
        return []


def ome_tag(node: ET.Element) -> str:
    """Its name, without the namespace."""
    return node.tag.rpartition("}")[2]


def _ome_pixels(xml: str | None) -> ET.Element | None:
    """Pixels of the largest image: others are labels, overviews, thumbnails."""
    return max(ome_pixels(xml), key=lambda node: _count(node, "SizeX") * _count(node, "SizeY"), default=None)


def _ome_size(pixels: ET.Element, axis: str) -> float | None:
    size, um = as_number(pixels.get(f"PhysicalSize{axis}")), um_per(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return None if size is None or um is None else size * um
