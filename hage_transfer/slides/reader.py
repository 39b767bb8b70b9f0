"""Opening pictures: which reader takes a file."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import openslide
import tifffile

from hage_transfer.errors import DataError
from hage_transfer.extensions import installed, load_extension
from hage_transfer.slides.dicom import is_dicom, refuse_channels, series_in, series_of
from hage_transfer.slides.dicom_source import DicomSource
from hage_transfer.slides.find import slide_of_folder
from hage_transfer.slides.fluorescence import refuse_fluorescence, refuse_fluorescence_properties
from hage_transfer.slides.image_source import ImageSource, format_of
from hage_transfer.slides.jpeg_tiles import JpegLevel, JpegTiles, jpeg_levels
from hage_transfer.slides.ome_zarr_source import OmeZarrSource, is_ome_zarr
from hage_transfer.slides.openslide_source import OpenSlideSource
from hage_transfer.slides.orientation import turned
from hage_transfer.slides.resolution import settle_resolution
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.sources import MAX_SIDE_PX, PixelSource
from hage_transfer.slides.tiff_facts import check_whole, is_tiff, recorded_in_tiff, tiff_faults
from hage_transfer.slides.tiff_kind import check_samples
from hage_transfer.slides.tiff_source import TiffSource

log = logging.getLogger(__name__)

_PLAIN, _APERIO = "generic-tiff", "aperio"  # OpenSlide's names
READING = 3
"""Grows whenever a file that did not change gives other pixels: 3, one door for slides, sections and patches."""


@contextmanager
def open_slide(
    path: Path,
    *,
    mpp_um_per_px: float | None = None,
    own_mpp_um_per_px: float | None = None,
    needs_resolution: bool = True,
    name: str | None = None,
) -> Iterator[Slide]:
    """Opens a slide and closes it at the end.

    Args:
        path: the slide: all that OpenSlide reads, plain and OME TIFF, plain images; or the folder that holds it alone.
        mpp_um_per_px: resolution of level 0 for a slide that records none; a recorded one goes first.
        own_mpp_um_per_px: resolution of level 0 of this very slide; it goes before a recorded one.
        needs_resolution: False where work in level-0 pixels is all that follows.
        name: of the slide; None: its file's, without ending, or its folder's.

    Raises:
        DataError: missing, damaged, not a slide, or of unknown resolution where it is needed.
    """
    with open_picture(path, name=name) as slide:
        slide.resolution = settle_resolution(
            path,
            slide.recorded,
            fallback_um_per_px=mpp_um_per_px,
            override_um_per_px=own_mpp_um_per_px,
            needed=needs_resolution,
        )
        if slide.notes:
            log.info("%s: %s", path.name, "; ".join(slide.notes))
        yield slide


@contextmanager
def open_picture(path: Path, *, name: str | None = None) -> Iterator[Slide]:
    """Opens a slide, a section's image or a patch, and closes it at the end: the one door for all pictures.

    Its resolution is left open (``recorded`` has what the file says) and nothing is logged (``notes`` has what to say).

    Raises:
        DataError: missing, damaged, or not a picture of a stained slide.
    """
    source = _open_source(path)
    try:
        yield Slide(source, path, resolution=None, name=name)
    finally:
        source.close()


def image_size_px(path: Path) -> tuple[int, int]:
    """Width and height at level 0, as the picture is shown; pixels are not decoded. Errors as ``open_picture``."""
    with open_picture(path) as image:
        return image.width_px, image.height_px


def _open_source(path: Path) -> PixelSource:
    _refuse_no_file(path)
    if path.is_dir():
        return OmeZarrSource(path) if is_ome_zarr(path) else _open_source(_file_in(path))
    ending = path.suffix.lower().removeprefix(".")
    if ending in installed("slide_readers"):
        source: PixelSource = load_extension("slide_readers", ending)(path)
        return source
    if is_dicom(path):
        return _open_dicom(path)
    if is_tiff(path):
        return _open_tiff(path)
    image = _plain_image(path)
    if image is not None:
        return turned(image, image.orientation)
    if _vendor(path) is None:
        raise DataError(f"{path}: neither a slide nor an image that can be read; is it whole, and of this ending?")
    return _checked(_openslide(path), path)


def _refuse_no_file(path: Path) -> None:
    if path.is_file() or path.is_dir():
        return
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: a link to {path.readlink()}, which is not there; mend the link")
    if not path.exists():
        raise DataError(f"{path}: no such slide or image")
    raise DataError(f"{path}: not a regular file, so not a slide")


def _plain_image(path: Path) -> ImageSource | None:
    handle = path.open("rb")
    try:
        form = format_of(handle.read(12))
        handle.seek(0)
        if form is not None and path.suffix.lower() != ".mrxs":  # a MIRAX slide's own file is a JPEG
            return ImageSource(path, handle, form)
    except BaseException:
        handle.close()
        raise
    handle.close()
    return None


def _file_in(folder: Path) -> Path:
    """The file by which a folder of a slide's own is opened."""
    found = slide_of_folder(folder)
    if found is None:
        raise DataError(f"{folder}: a folder, not a slide, nor of one slide alone; give the file in it")
    return series_in(folder)[0].paths[0] if found == folder else found


def _open_dicom(path: Path) -> PixelSource:
    """The slide whose series a file is an instance of, all levels together."""
    own = series_of([path])
    if not own:
        raise DataError(f"{path}: DICOM of another kind than slide microscopy (modality SM); is it a slide?")
    series = next(one for one in series_in(path.parent) if one.uid == own[0].uid)
    refuse_channels(path, series)
    try:
        return _checked(openslide.OpenSlide(str(series.paths[0])), path)
    except openslide.OpenSlideError as error:
        return DicomSource(series.paths, why_not_openslide=str(error).rpartition(": ")[2])


def _open_tiff(path: Path) -> PixelSource:
    """A vendor's TIFF by OpenSlide, Aperio's JPEG tiles without it; plain and OME TIFF by tifffile."""
    vendor = _vendor(path)
    if vendor not in (None, _PLAIN, _APERIO):
        return _checked(_openslide(path), path)
    with tiff_faults(path):
        tiff = tifffile.TiffFile(path)
        try:
            tiff.pages.cache = vendor == _APERIO  # else each look at its few pages parses them anew
            check_whole(path, tiff)
            refuse_fluorescence(path, tiff)
            if vendor != _APERIO:
                plain = TiffSource(path, tiff)
                return turned(plain, plain.orientation)
            check_samples(path, tiff.pages.first)
            recorded = recorded_in_tiff(tiff, tiff.pages.first)
            slide = _openslide(path)
            levels = jpeg_levels(tiff, slide.level_dimensions)
        except BaseException:
            tiff.close()
            raise
        tiff.close()
    source = _checked(slide, path, levels)
    # tags in units that OpenSlide has not
    others = () if any(place.x_um_per_px for place in source.recorded) else recorded[-1:]
    source.recorded = (*recorded[:-1], *source.recorded, *others)  # OME's own goes first
    return source


def _vendor(path: Path) -> str | None:
    vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    return vendor


def _openslide(path: Path) -> openslide.OpenSlide:
    try:
        return openslide.OpenSlide(str(path))
    except openslide.OpenSlideError as error:
        remedy = "save it as JPEG or deflate" if "compression" in str(error) else "is it whole? fetch it again"
        raise DataError(f"{path}: OpenSlide cannot read it ({error}); {remedy}") from None


def _checked(slide: openslide.OpenSlide, path: Path, levels: Mapping[int, JpegLevel] | None = None) -> OpenSlideSource:
    refuse_fluorescence_properties(path, slide.properties)
    width, height = slide.dimensions
    if max(width, height) > MAX_SIDE_PX:
        slide.close()
        raise DataError(f"{path}: declares {width} x {height} px, which no scanner makes; its header is damaged")
    return OpenSlideSource(slide, path, tiles=JpegTiles(path, levels) if levels else None)
