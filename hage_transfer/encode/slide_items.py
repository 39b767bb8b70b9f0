"""The slides of a table as items of `hage encode slides`: tissue, pictures, tiles, and which of them are whose."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from hage_transfer.config import SlideSetSettings
from hage_transfer.encode.extract import ImageStream
from hage_transfer.encode.item import Item, OpenItem
from hage_transfer.encode.sections_and_patches import FEATURES_FOLDER, refuse_doubles
from hage_transfer.encode.status import remove_leftovers
from hage_transfer.errors import DataError, some
from hage_transfer.running.file_stamp import file_stamp, glance
from hage_transfer.running.shards import Shard
from hage_transfer.slide_names import slide_name
from hage_transfer.slides.find import find_slide, refuse_one_slide_twice, slide_stamp
from hage_transfer.slides.geojson import is_edited
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.survey import Looked, look, open_config_slide, show, tissue_inputs
from hage_transfer.slides.table import SlideRow, find_listed
from hage_transfer.slides.tiles import TileGrid, iter_tiles

OUTLINES, GEOJSON = "outlines", "geojson"


@dataclass(frozen=True)
class SlideTiles:
    """The tiles of an open slide; see ``ImageSequence``. Slides are read by several threads at a time."""

    slide: Slide
    grid: TileGrid
    in_any_order: bool = True

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.grid)

    def read(self, start: int, stop: int) -> list[UInt8[ndarray, "tile_px tile_px 3"]]:
        """See ``ImageSequence.read``."""
        return list(iter_tiles(self.slide, replace(self.grid, coords=self.grid.coords[start:stop])))


def slide_items(settings: SlideSetSettings, folder: Path, *, shard: str | None = None) -> tuple[list[Item], list[Item]]:
    """The slides of a table in its order: all, and those of this worker.

    A slide that is not there is an item that fails when it is opened.

    Args:
        settings: root, table, tissue and tiles.
        folder: of the features, outlines and GeoJSON files.
        shard: ``i/n``, this worker's part, i from 1 to n; None: all.

    Raises:
        DataError: a wrong table, no slide there at all, or two of one stem.
        ConfigError: a wrong shard.
    """
    listed = find_listed(settings.root, settings.labels)
    there = [(row, path) for row, path in listed if isinstance(path, Path)]
    if not there:
        raise DataError(some([str(fault) for _, fault in listed], 3, joined="; "))
    names = [slide_name(row.name) for row, _ in listed]
    refuse_one_slide_twice([(row.name, path) for row, path in there])
    refuse_doubles(names, [str(path) if isinstance(path, Path) else row.name for row, path in listed])
    items = [
        _slide_item(row, path, settings, folder / FEATURES_FOLDER / f"{name}.h5", folder)
        for (row, path), name in zip(listed, names, strict=True)
    ]
    return items, items if shard is None else Shard.parse(shard).part(items)


def _slide_item(row: SlideRow, found: Path | DataError, settings: SlideSetSettings, out: Path, folder: Path) -> Item:
    name = out.name.removesuffix(".h5")

    def path() -> Path:
        return found if isinstance(found, Path) else find_slide(settings.root, row.name)

    def inputs() -> dict[str, Any]:
        own = tissue_inputs(name, settings, own_mpp_um_per_px=row.mpp_um_per_px)
        place = path()
        return {**own, "image": slide_stamp(place) if place.is_dir() else file_stamp(place)}

    @contextmanager
    def rows() -> Iterator[OpenItem]:
        with open_config_slide(path(), settings, own_mpp_um_per_px=row.mpp_um_per_px, name=name) as slide:
            looked = look(slide, settings)
            _show(slide, looked, settings, folder)
            found = _rows(slide, looked)
            del looked  # tens of MB that nothing needs while the slide is encoded
            yield found

    return Item(name, out, inputs, rows, lambda: glance(path()))


def _rows(slide: Slide, looked: Looked) -> OpenItem:
    resolution, grid = slide.resolution, looked.grid
    found = OpenItem(
        images=ImageStream(0, lambda first: ()),
        why_empty=looked.why_no_tiles,
        tissue_mm2=looked.area_mm2(looked.tissue.mask),
        slide_mpp_um_per_px=None if resolution is None else resolution.mean_um_per_px,
        slide_mpp_source="" if resolution is None else resolution.source,
    )
    if grid is None:
        return found
    return replace(
        found,
        images=SlideTiles(slide, grid),
        coords=grid.coords,
        patch_size_px=grid.tile_px,
        patch_size_level0_px=round(grid.size_level0_px),
        mpp_um_per_px=grid.mpp_um_per_px,
    )


def _show(slide: Slide, looked: Looked, settings: SlideSetSettings, folder: Path) -> None:
    """Writes the picture of the outline, and the tissue as GeoJSON where there is none that may have been edited."""
    picture, geojson = folder / OUTLINES / f"{slide.name}.png", folder / GEOJSON / f"{slide.name}.geojson"
    remove_leftovers(picture, geojson)
    kept = settings.tissue.method == "geojson" or (geojson.is_file() and is_edited(geojson))
    show(slide, looked, picture=picture, geojson=None if kept else geojson)
