"""Whole slides through OpenSlide: levels, resolution, pixels."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openslide
from jaxtyping import UInt8
from PIL import Image

from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

SLIDE_ENDINGS = frozenset(
    {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".svslide", ".bif", ".vms", ".vmu", ".dcm"}
)
_PLAUSIBLE_MPP = (0.05, 20.0)
_UM_PER_UNIT = {"centimeter": 10_000.0, "inch": 25_400.0}
_LEVEL_TOLERANCE = 1.01


class SlideReader:
    """One open slide.

    Attributes:
        path: its file.
        name: the file's name without its ending.
        mpp_um_per_px: resolution of level 0.
        width_px: of level 0.
        height_px: of level 0.
        level_downsamples: level-0 pixels per pixel of each level, 1.0 first.
    """

    def __init__(self, slide: openslide.OpenSlide, path: Path, *, mpp_um_per_px: float) -> None:
        self._slide = slide
        self.path, self.name = path, path.stem
        self.mpp_um_per_px = mpp_um_per_px
        self.width_px, self.height_px = (int(side) for side in slide.dimensions)
        self.level_downsamples = tuple(float(value) for value in slide.level_downsamples)

    def level_for(self, downsample: float) -> int:
        """The coarsest level that is still as fine as ``downsample`` (within 1%); level 0 where none is."""
        fine = [k for k, factor in enumerate(self.level_downsamples) if factor <= downsample * _LEVEL_TOLERANCE]
        return max(fine, key=lambda k: self.level_downsamples[k], default=0)

    def read_square(
        self, x_level0_px: int, y_level0_px: int, *, size_level0_px: float, out_px: int
    ) -> UInt8[np.ndarray, "out_px out_px 3"]:
        """A square of the slide, resampled to ``out_px`` on a side; white where the slide has no pixels.

        Args:
            x_level0_px: left edge at level 0.
            y_level0_px: top edge at level 0.
            size_level0_px: side at level 0, not rounded, so that the resolution is the one asked for.
            out_px: side of the result.

        Raises:
            DataError: damaged tiles in the file.
        """
        level = self.level_for(size_level0_px / out_px)
        side = size_level0_px / self.level_downsamples[level]
        whole = int(np.ceil(side - 1e-6))
        region = self._read(x_level0_px, y_level0_px, level, (whole, whole))
        if whole == out_px and abs(side - out_px) < 1e-6:
            return np.asarray(region)
        # Pillow widens the kernel when it shrinks, and takes a box with fractions of a pixel
        return np.asarray(region.resize((out_px, out_px), Image.Resampling.BICUBIC, box=(0, 0, side, side)))

    def thumbnail(self, *, mpp_um_per_px: float, max_px: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole slide at about ``mpp_um_per_px``, no side longer than ``max_px``, never finer than level 0."""
        longest = max(self.width_px, self.height_px)
        downsample = max(1.0, mpp_um_per_px / self.mpp_um_per_px, longest / max_px)
        size = (max(1, round(self.width_px / downsample)), max(1, round(self.height_px / downsample)))
        level = self.level_for(downsample)
        region = self._read(0, 0, level, self._slide.level_dimensions[level])
        return np.asarray(region.resize(size, Image.Resampling.BOX))

    def _read(self, x_level0_px: int, y_level0_px: int, level: int, size: tuple[int, int]) -> Image.Image:
        try:
            region = self._slide.read_region((x_level0_px, y_level0_px), level, size)
        except openslide.OpenSlideError as error:
            raise DataError(
                f"{self.path}: damaged at ({x_level0_px}, {y_level0_px}), level {level} ({error}); fetch it again"
            ) from None
        white = Image.new("RGBA", region.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, region).convert("RGB")


@contextmanager
def open_slide(path: Path, *, mpp_um_per_px: float | None = None) -> Iterator[SlideReader]:
    """Opens a slide and closes it at the end.

    Args:
        path: the slide.
        mpp_um_per_px: resolution of level 0 for a slide that records none; a recorded one goes first.

    Raises:
        DataError: missing, not a slide, or of unknown resolution.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such slide")
    try:
        slide = openslide.OpenSlide(str(path))
    except openslide.OpenSlideError as error:
        raise DataError(f"{path}: OpenSlide cannot read it ({error})") from None
    with slide:
        recorded = recorded_mpp(slide.properties)
        mpp = recorded if recorded is not None else mpp_um_per_px
        if mpp is None:
            raise DataError(
                f"{path}: records no resolution (micrometres per pixel); give its level-0 value as "
                "--set data.slide_mpp_um_per_px=0.25 (0.25 is usual for a 40x scan, 0.5 for 20x)"
            )
        yield SlideReader(slide, path, mpp_um_per_px=mpp)


def recorded_mpp(properties: Mapping[str, str]) -> float | None:
    """Level-0 resolution in um per px from a slide's properties: OpenSlide's own, else TIFF's resolution tags.

    A value outside 0.05 to 20 um per px (72 dpi that an image editor left) is no resolution of a slide: as if none.
    """
    unit = _UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", ""))
    own = [_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy"]
    tags = [_number(properties.get(f"tiff.{axis}Resolution")) for axis in "XY"]
    from_tags = [unit / tag if unit and tag else None for tag in tags]
    for x, y in (own, from_tags):
        if x is not None and _PLAUSIBLE_MPP[0] <= x <= _PLAUSIBLE_MPP[1]:
            if y is not None and abs(x - y) > 0.01 * x:
                log.warning("resolution differs between axes: %g by %g um per px; the mean is used", x, y)
            return x if y is None else (x + y) / 2
    return None


def find_slide(root: Path, name: str) -> Path:
    """The slide under ``root`` that a label table calls ``name``, with or without its ending.

    Raises:
        DataError: none, or several.
    """
    exact = root / name
    if exact.is_file():
        return exact
    found = sorted(
        path for path in exact.parent.glob(f"{_escape(exact.name)}.*") if path.suffix.lower() in SLIDE_ENDINGS
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"slide {name}: several files, {', '.join(path.name for path in found)}; write the ending too")
    raise DataError(f"slide {name}: no such file in {root} (data.root), with or without ending")


def _escape(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else 0.0
    except ValueError:
        return None
    return value if np.isfinite(value) and value > 0 else None
