"""Opening slides: which reader takes a file, and which file a name means."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import openslide
import tifffile

from hage_transfer.errors import DataError
from hage_transfer.slides.dicom import is_dicom, refuse_channels, series_in, series_of
from hage_transfer.slides.dicom_source import DicomSource
from hage_transfer.slides.find import slide_of_folder
from hage_transfer.slides.fluorescence import refuse_fluorescence, refuse_fluorescence_properties
from hage_transfer.slides.image_source import ImageSource
from hage_transfer.slides.jpeg_tiles import JpegLevel, JpegTiles, jpeg_levels
from hage_transfer.slides.openslide_source import OpenSlideSource
from hage_transfer.slides.resolution import settle_resolution
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.sources import MAX_SIDE_PX, PixelSource
from hage_transfer.slides.tiff_facts import check_channels, check_whole, is_tiff, recorded_in_tiff, tiff_faults
from hage_transfer.slides.tiff_source import TiffSource, decodable

log = logging.getLogger(__name__)

_PLAIN_VENDORS = frozenset({None, "generic-tiff"})
_CHECKED_VENDORS = frozenset({None, "generic-tiff", "aperio"})


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
    source = _open_source(path)
    try:
        resolution = settle_resolution(
            path,
            source.recorded,
            fallback_um_per_px=mpp_um_per_px,
            override_um_per_px=own_mpp_um_per_px,
            needed=needs_resolution,
        )
        slide = Slide(source, path, resolution=resolution, name=name)
        if slide.notes:
            log.info("%s: %s", path.name, "; ".join(slide.notes))
        yield slide
    finally:
        source.close()


def _open_source(path: Path) -> PixelSource:
    _refuse_no_file(path)
    if path.is_dir():
        return _open_source(_file_in(path))
    if is_dicom(path):
        return _open_dicom(path)
    if is_tiff(path):
        return _open_tiff(path)
    slide = _openslide(path)
    return ImageSource(path) if slide is None else _checked(slide, path)


def _refuse_no_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: a link to {path.readlink()}, which is not there; mend the link")
    if not path.exists():
        raise DataError(f"{path}: no such slide")
    if not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: not a regular file, so not a slide")


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
    """A vendor's TIFF by OpenSlide; OME and untiled TIFF by tifffile; what it cannot decode by OpenSlide or Pillow."""
    vendor = _vendor(path)
    if vendor not in _CHECKED_VENDORS:
        slide = _openslide(path)
        if slide is not None:
            return _checked(slide, path)
    with tiff_faults(path):
        tiff = tifffile.TiffFile(path)
        try:
            check_whole(path, tiff)
            refuse_fluorescence(path, tiff)
            check_channels(path, tiff)
            plain = vendor in _PLAIN_VENDORS and decodable(tiff.pages[0])
            if plain and (tiff.is_ome or vendor is None):
                return TiffSource(path, tiff)
            recorded = recorded_in_tiff(tiff)
            slide = None if vendor is None else _openslide(path)
            levels = {} if slide is None else jpeg_levels(tiff, slide.level_dimensions)
        except BaseException:
            tiff.close()
            raise
        tiff.close()
    if slide is None:
        return ImageSource(path)
    source = _checked(slide, path, levels)
    others = (
        () if any(place.x_um_per_px for place in source.recorded) else recorded[-1:]
    )  # units that OpenSlide has not
    source.recorded = (*recorded[:-1], *source.recorded, *others)  # OME's own goes first
    return source


def _vendor(path: Path) -> str | None:
    vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    return vendor


def _openslide(path: Path) -> openslide.OpenSlide | None:
    """The slide by OpenSlide, None where the file is of no format it knows."""
    if _vendor(path) is None:
        return None
    try:
        return openslide.OpenSlide(str(path))
    except openslide.OpenSlideError as error:
        raise DataError(f"{path}: OpenSlide cannot read it ({error}); is it whole? fetch it again") from None


def _checked(slide: openslide.OpenSlide, path: Path, levels: Mapping[int, JpegLevel] | None = None) -> OpenSlideSource:
    refuse_fluorescence_properties(path, slide.properties)
    width, height = slide.dimensions
    if max(width, height) > MAX_SIDE_PX:
        slide.close()
        raise DataError(f"{path}: declares {width} x {height} px, which no scanner makes; its header is damaged")
    return OpenSlideSource(slide, path, tiles=JpegTiles(path, levels) if levels else None)
