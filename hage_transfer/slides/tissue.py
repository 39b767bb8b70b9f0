"""Where the tissue is: a mask at the scale of a thumbnail, found, or drawn by hand."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hage_transfer.config import TissueSettings
from hage_transfer.errors import ConfigError
from hage_transfer.running.memory import keep_freed_memory
from hage_transfer.slides.auto_tissue import tissue_mask
from hage_transfer.slides.clam_tissue import clam_mask, clam_parameters
from hage_transfer.slides.geojson import read_geojson
from hage_transfer.slides.pen_marks import pen_mask
from hage_transfer.slides.polygons import fill_pieces
from hage_transfer.slides.slide import Slide

log = logging.getLogger(__name__)

MASK_MPP_UM_PER_PX = 8.0
_MAX_MASK_PX = 4096
_CLAM_DOWNSAMPLE, _CLAM_MAX_PX = 64, 10**8


@dataclass(frozen=True)
class TissueMask:
    """Tissue at the scale of a thumbnail.

    Attributes:
        mask: True where there is tissue.
        level0_px_per_px_x: level-0 pixels per mask pixel, along x.
        level0_px_per_px_y: along y (the thumbnail's sides are rounded, so the two differ a little).
        pen: True where ink was found; None where it was not looked for.
        thumbnail: what the mask was found in, for a picture of it; None where it was drawn by hand.
    """

    mask: Bool[np.ndarray, "height width"]
    level0_px_per_px_x: float
    level0_px_per_px_y: float
    pen: Bool[np.ndarray, "height width"] | None = None
    thumbnail: UInt8[np.ndarray, "height width 3"] | None = None

    @property
    def px_area_level0(self) -> float:
        """Level-0 pixels in one pixel of the mask."""
        return self.level0_px_per_px_x * self.level0_px_per_px_y

    def share(
        self, coords: Int[np.ndarray, "tile 2"], *, size_level0_px: float | tuple[float, float]
    ) -> Float[np.ndarray, " tile"]:
        """Share of tissue in each rectangle with top-left ``coords``, 0 to 1: exact at fractions of a mask pixel.

        Args:
            coords: top-left (x, y) at level 0.
            size_level0_px: side, or (width, height), at level 0.
        """
        width, height = size_level0_px if isinstance(size_level0_px, tuple) else (size_level0_px, size_level0_px)
        sums = cv2.integral(self.mask.astype(np.uint8), sdepth=cv2.CV_64F)
        x = coords[:, 0] / self.level0_px_per_px_x, (coords[:, 0] + width) / self.level0_px_per_px_x
        y = coords[:, 1] / self.level0_px_per_px_y, (coords[:, 1] + height) / self.level0_px_per_px_y
        inside = (
            _sum_to(sums, x[1], y[1])
            - _sum_to(sums, x[0], y[1])
            - _sum_to(sums, x[1], y[0])
            + _sum_to(sums, x[0], y[0])
        )
        return np.clip(inside / ((x[1] - x[0]) * (y[1] - y[0])), 0.0, 1.0)


def find_tissue(slide: Slide, settings: TissueSettings | None = None) -> TissueMask:
    """The tissue of a slide, by the method of ``settings``.

    Args:
        slide: an open slide.
        settings: None: the default method, which needs no tuning.

    Raises:
        DataError: damaged data; a resolution is needed and not known; a GeoJSON file that is missing or not valid.
    """
    settings = settings or TissueSettings()
    keep_freed_memory()
    if settings.method == "clam":
        return _by_clam(slide, settings)
    if settings.method == "geojson":
        return _by_hand(slide, settings)
    downsample = (MASK_MPP_UM_PER_PX / slide.mpp_um_per_px) if slide.mpp_um_per_px < MASK_MPP_UM_PER_PX else 1.0
    thumbnail = slide.thumbnail(downsample=downsample, max_px=_MAX_MASK_PX)
    x, y = _scale(slide, thumbnail)
    px_um2 = x * slide.known_resolution.x_um_per_px * y * slide.known_resolution.y_um_per_px
    pen = pen_mask(thumbnail, mpp_um_per_px=math.sqrt(px_um2)) if settings.drop_pen_marks else None
    mask = tissue_mask(
        thumbnail,
        mpp_um_per_px=math.sqrt(px_um2),
        pen=pen,
        min_piece_um2=settings.min_piece_um2,
        min_hole_um2=settings.min_hole_um2,
    )
    return TissueMask(mask, x, y, pen, thumbnail)


def needs_resolution(settings: TissueSettings) -> bool:
    """Whether a method works in micrometres; CLAM's and hand-drawn masks work in pixels."""
    return settings.method == "auto"


def geojson_path(settings: TissueSettings, name: str) -> Path | None:
    """The file of a slide's hand-drawn tissue; None where the method is another."""
    return settings.folder / f"{name}.geojson" if settings.method == "geojson" and settings.folder is not None else None


def _by_clam(slide: Slide, settings: TissueSettings) -> TissueMask:
    fine = [level for level in slide.levels if level.downsample <= _CLAM_DOWNSAMPLE * 1.01]
    level = max(fine, key=lambda one: one.downsample)
    downsample = level.downsample
    if level.width_px * level.height_px > _CLAM_MAX_PX:
        log.warning("%s: no small level; tissue is looked for at 1/%d instead", slide.path.name, _CLAM_DOWNSAMPLE)
        downsample = _CLAM_DOWNSAMPLE
    thumbnail = slide.thumbnail(downsample=downsample, max_px=max(slide.width_px, slide.height_px))
    x, y = _scale(slide, thumbnail)
    return TissueMask(clam_mask(thumbnail, clam_parameters(settings), px_area_level0=x * y), x, y, thumbnail=thumbnail)


def _by_hand(slide: Slide, settings: TissueSettings) -> TissueMask:
    path = geojson_path(settings, slide.name)
    if path is None:
        raise ConfigError("data.tissue.method geojson needs data.tissue.folder, the folder of <slide>.geojson files")
    pieces = read_geojson(path, width_px=slide.width_px, height_px=slide.height_px, origin_px=slide.origin_px)
    mpp = None if slide.resolution is None else slide.resolution.mean_um_per_px
    downsample = 32.0 if mpp is None else max(1.0, MASK_MPP_UM_PER_PX / mpp)
    downsample = max(downsample, max(slide.width_px, slide.height_px) / _MAX_MASK_PX)
    width, height = max(1, round(slide.width_px / downsample)), max(1, round(slide.height_px / downsample))
    x, y = slide.width_px / width, slide.height_px / height
    mask = fill_pieces([[ring / (x, y) for ring in piece] for piece in pieces], height_px=height, width_px=width)
    return TissueMask(mask, x, y)


def _scale(slide: Slide, thumbnail: UInt8[np.ndarray, "height width 3"]) -> tuple[float, float]:
    height, width = thumbnail.shape[:2]
    return slide.width_px / width, slide.height_px / height


def _sum_to(
    sums: Float[np.ndarray, "height1 width1"], x: Float[np.ndarray, " tile"], y: Float[np.ndarray, " tile"]
) -> Float[np.ndarray, " tile"]:
    """Integral of the mask over [0, x] x [0, y]: bilinear between the corners of its pixels, which is exact."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    x, y = np.clip(x, 0, width), np.clip(y, 0, height)
    i, j = np.minimum(x.astype(int), width - 1), np.minimum(y.astype(int), height - 1)
    u, v = x - i, y - j
    top = sums[j, i] * (1 - u) + sums[j, i + 1] * u
    bottom = sums[j + 1, i] * (1 - u) + sums[j + 1, i + 1] * u
    return top * (1 - v) + bottom * v
