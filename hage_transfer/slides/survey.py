"""One slide as a config asks for it: opened, its tissue, outline and tiles, without encoding."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.config import SlideSetSettings, file_sha256
from hage_transfer.errors import DataError
from hage_transfer.slides.geojson import missing_geojson, write_geojson
from hage_transfer.slides.outline import draw_outline, write_picture
from hage_transfer.slides.polygons import Piece, trace_pieces
from hage_transfer.slides.reader import READING, open_slide
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.tiles import TileGrid, cut_tiles
from hage_transfer.slides.tissue import TissueMask, find_tissue, geojson_path, needs_resolution

_UM2_PER_MM2 = 1e6


COLUMNS: Mapping[str, str] = {
    "width_px": "of level 0",
    "height_px": "of level 0",
    "downsamples": "of the levels, joined by spaces",
    "mpp_x_um_per_px": "of level 0; empty, as all that is in um, where the resolution is not known",
    "mpp_y_um_per_px": "of level 0",
    "mpp_source": "where the resolution is from",
    "notes": "oddities of the file",
    "tissue_share": "of the slide's area",
    "tissue_mm2": "area",
    "pen_mm2": "area of ink",
    "pieces": "of tissue",
    "holes": "in them",
    "tiles": "that an encoder would see; 0 where none has enough tissue",
    "tile_size_level0_px": "side of a tile, not rounded",
    "why_no_tiles": "empty where there are some",
    "seconds": "to open, find tissue and cut tiles, without the pictures",
}
"""What a look at a slide finds."""


@contextmanager
def open_config_slide(
    path: Path, settings: SlideSetSettings, *, own_mpp_um_per_px: float | None = None, name: str | None = None
) -> Iterator[Slide]:
    """Opens a slide as a config asks: a resolution is needed unless tissue and tiles both work in pixels."""
    needed = settings.tile_level0_px is None or needs_resolution(settings.tissue)
    with open_slide(
        path,
        mpp_um_per_px=settings.slide_mpp_um_per_px,
        own_mpp_um_per_px=own_mpp_um_per_px,
        needs_resolution=needed,
        name=name,
    ) as slide:
        yield slide


def tissue_inputs(name: str, settings: SlideSetSettings, *, own_mpp_um_per_px: float | None = None) -> dict[str, Any]:
    """All but the slide itself that decides its tiles, for the hash that says whether a feature file is still right.

    Raises:
        DataError: hand-drawn tissue that is not there.
    """
    keys = {"tile_px", "mpp_um_per_px", "slide_mpp_um_per_px", "min_tissue", "tile_level0_px", "stride_px"}
    inputs = settings.model_dump(mode="json", include=keys)
    inputs["tissue"] = settings.tissue.model_dump(mode="json", exclude={"folder"})
    inputs["own_mpp_um_per_px"] = own_mpp_um_per_px
    inputs["reading"] = READING
    drawn = geojson_path(settings.tissue, name)
    if drawn is not None:
        if not drawn.is_file():
            raise missing_geojson(drawn)
        inputs["drawn"] = file_sha256(drawn)
    return inputs


def survey_slide(
    path: Path,
    settings: SlideSetSettings,
    *,
    name: str | None = None,
    own_mpp_um_per_px: float | None,
    picture: Path,
    geojson: Path | None,
) -> dict[str, Any]:
    """Looks at one slide: writes the picture of its outline and its tissue as GeoJSON, and counts its tiles.

    Args:
        path: the slide.
        settings: as for encoding.
        name: of the slide; None: its file's.
        own_mpp_um_per_px: the slide table's resolution.
        picture: PNG to write.
        geojson: file to write; None: none (there is an edited one).

    Returns:
        Values by ``COLUMNS``, numbers to four digits after the point.

    Raises:
        DataError: the slide cannot be read. A slide without tissue is no error here: it has 0 tiles.
    """
    start = time.perf_counter()
    with open_config_slide(path, settings, own_mpp_um_per_px=own_mpp_um_per_px, name=name) as slide:
        looked = look(slide, settings)
        seconds = time.perf_counter() - start
        return _facts(slide, looked, show(slide, looked, picture=picture, geojson=geojson), seconds)


@dataclass(frozen=True)
class Looked:
    """Tissue and tiles of an open slide.

    Attributes:
        tissue: where it is.
        grid: the tiles; None where none has enough tissue.
        why_no_tiles: then the reason, the slide's path before it.
        px_mm2: area of a pixel of the mask; None where the resolution is not known.
    """

    tissue: TissueMask
    grid: TileGrid | None
    why_no_tiles: str
    px_mm2: float | None

    def area_mm2(self, mask: np.ndarray | None) -> float | None:
        """Area of a mask like the tissue's; None where it is not known."""
        return None if mask is None or self.px_mm2 is None else float(mask.sum() * self.px_mm2)


def look(slide: Slide, settings: SlideSetSettings) -> Looked:
    """Finds tissue and tiles; errors as ``find_tissue``."""
    tissue, resolution = find_tissue(slide, settings.tissue), slide.resolution
    mm2 = None
    if resolution is not None:
        mm2 = tissue.px_area_level0 * resolution.x_um_per_px * resolution.y_um_per_px / _UM2_PER_MM2
    try:
        return Looked(tissue, cut_tiles(slide, tissue, settings), "", mm2)
    except DataError as error:
        return Looked(tissue, None, str(error), mm2)


def show(slide: Slide, looked: Looked, *, picture: Path, geojson: Path | None) -> list[Piece]:
    """Writes the picture of the outline and, where a file is named, the tissue as GeoJSON; returns its pieces."""
    pieces = level0_pieces(looked.tissue)
    write_picture(picture, draw_outline(slide, looked.tissue, pieces, looked.grid))
    if geojson is not None:
        write_geojson(geojson, pieces, origin_px=slide.origin_px)
    return pieces


def level0_pieces(tissue: TissueMask) -> list[Piece]:
    """The pieces of tissue in level-0 pixels."""
    scale = tissue.level0_px_per_px_x, tissue.level0_px_per_px_y
    return [[ring * scale for ring in piece] for piece in trace_pieces(tissue.mask)]


def _facts(slide: Slide, looked: Looked, pieces: list[Piece], seconds: float) -> dict[str, Any]:
    resolution, tissue, grid = slide.resolution, looked.tissue, looked.grid
    found = {
        "width_px": slide.width_px,
        "height_px": slide.height_px,
        "downsamples": " ".join(f"{value:g}" for value in slide.level_downsamples),
        "mpp_x_um_per_px": None if resolution is None else resolution.x_um_per_px,
        "mpp_y_um_per_px": None if resolution is None else resolution.y_um_per_px,
        "mpp_source": "" if resolution is None else resolution.source,
        "notes": "; ".join(slide.notes),
        "tissue_share": float(tissue.mask.mean()),
        "tissue_mm2": looked.area_mm2(tissue.mask),
        "pen_mm2": looked.area_mm2(tissue.pen),
        "pieces": len(pieces),
        "holes": sum(len(piece) - 1 for piece in pieces),
        "tiles": 0 if grid is None else len(grid),
        "tile_size_level0_px": None if grid is None else grid.size_level0_px,
        "why_no_tiles": looked.why_no_tiles.removeprefix(f"{slide.path}: "),
        "seconds": seconds,
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}
