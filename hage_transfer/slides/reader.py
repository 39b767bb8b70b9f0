"""Opening slides: which reader takes a file, and which file a name means."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import openslide
import tifffile

from hage_transfer.errors import DataError
from hage_transfer.slide_names import IMAGE_ENDINGS, SLIDE_ENDINGS
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
) -> Iterator[Slide]:
    """Opens a slide and closes it at the end.

    Args:
        path: the slide: all that OpenSlide reads, plain and OME TIFF, plain images.
        mpp_um_per_px: resolution of level 0 for a slide that records none; a recorded one goes first.
        own_mpp_um_per_px: resolution of level 0 of this very slide; it goes before a recorded one.
        needs_resolution: False where work in level-0 pixels is all that follows.

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
        slide = Slide(source, path, resolution=resolution)
        if slide.notes:
            log.info("%s: %s", path.name, "; ".join(slide.notes))
        yield slide
    finally:
        source.close()


def find_slide(root: Path, name: str) -> Path:
    """The slide under ``root`` that a label table calls ``name``, with or without its ending.

    Raises:
        DataError: none, or several.
    """
    exact = root / name
    if exact.is_file():
        return exact
    beside = sorted(exact.parent.glob(f"{_escape(exact.name)}.*"))
    for endings in (SLIDE_ENDINGS, IMAGE_ENDINGS):
        found = [path for path in beside if path.suffix.lower() in endings]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found)
            raise DataError(f"slide {name}: several files, {names}; write the ending too")
    raise DataError(f"slide {name}: no such file in {root} (data.root), with or without ending")


def _open_source(path: Path) -> PixelSource:
    _refuse_no_file(path)
    if is_tiff(path):
        return _open_tiff(path)
    slide = _openslide(path)
    return ImageSource(path) if slide is None else _checked(slide, path)


def _refuse_no_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: a link to {path.readlink()}, which is not there; mend the link")
    if path.is_dir():
        raise DataError(f"{path}: a folder, not a slide; give the file in it")
    if not path.exists():
        raise DataError(f"{path}: no such slide")
    if not path.is_file():
        raise DataError(f"{path}: not a regular file, so not a slide")


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
    source.recorded = (*recorded[:-1], *source.recorded)  # OME's own goes first
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
    width, height = slide.dimensions
    if max(width, height) > MAX_SIDE_PX:
        slide.close()
        raise DataError(f"{path}: declares {width} x {height} px, which no scanner makes; its header is damaged")
    return OpenSlideSource(slide, path, tiles=JpegTiles(path, levels) if levels else None)


def _escape(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
