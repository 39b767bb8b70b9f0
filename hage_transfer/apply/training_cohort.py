"""The training cohort of a run, summed up: its tiles' features and, where its pixels are at hand, its stain."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from hage_transfer.apply.cohort import MOST_TILES, FeatureSpace, StainSpace, held_out_distances
from hage_transfer.apply.looked import Look, level0_um_per_px, look_at, row_of
from hage_transfer.apply.stain import Pixels, spread_rows, stains_of
from hage_transfer.config import PatchSetSettings, SlideSetSettings
from hage_transfer.data.feature_file import read_meta
from hage_transfer.data.labels import LabelTable
from hage_transfer.data.patch_set import image_of
from hage_transfer.data.patches import find_images
from hage_transfer.encode.status import Outcome, StatusBook
from hage_transfer.errors import InputError, reason
from hage_transfer.mil.bag_headers import read_bag_header
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.rows import open_rows
from hage_transfer.running.progress import Progress
from hage_transfer.slide_names import slide_name
from hage_transfer.slides.find import find_slide
from hage_transfer.slides.table import read_slide_table

log = logging.getLogger(__name__)

MOST_UNITS = 2_000
"""Patches or slides whose distances are measured, spread over all."""
_MOST_ROWS, _FEWEST = 40_000, 16
"""Tiles of all units together, and least of each, so that memory stays within bounds."""


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """What is kept of a training cohort.

    Attributes:
        units: rows of the label table that were measured.
        tiles: of each unit.
        space: of their features; None of too few.
        tile_distances: held out, of each unit; None of too few.
        rows: of each unit, by ``looked.COLUMNS``.
        stains: of each unit; None where pixels are not at hand.
        stain_space: likewise.
        stain_distances: held out; None likewise.
    """

    units: Int[np.ndarray, " unit"]
    tiles: Int[np.ndarray, " unit"]
    space: FeatureSpace | None
    tile_distances: Float[np.ndarray, " unit"] | None
    rows: Sequence[Mapping[str, Any]]
    stains: Float[np.ndarray, "unit 6"] | None = None
    stain_space: StainSpace | None = None
    stain_distances: Float[np.ndarray, " unit"] | None = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """For ``cohort.safetensors``."""
        found: dict[str, np.ndarray] = {}
        if self.space is not None and self.tile_distances is not None:
            found |= {f"features.{name}": value for name, value in self.space.tensors().items()}
        if self.stain_space is not None and self.stain_distances is not None:
            found |= {f"stain.{name}": value for name, value in self.stain_space.tensors().items()}
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in found.items()}

    def facts(self, labels: LabelTable) -> dict[str, Any]:
        """For ``classifier.json``: sizes, labels, tiles, and the stain where it was read."""
        counts = {name: int((labels.labels == name).sum()) for name in labels.classes}
        stain = None
        if self.stains is not None:
            stain = {"mean": self.stains.mean(axis=0).tolist(), "std": self.stains.std(axis=0).tolist()}
        return {
            "units": len(labels),
            "groups": None if labels.groups is None else len(set(labels.groups.tolist())),
            "labels": counts,
            "tiles_median": float(np.median(self.tiles)),
            "stain": stain,
        }


def cohort_of(
    config: MilConfig | ProbeConfig, labels: LabelTable, base: Path, progress: Progress | None = None
) -> Cohort:
    """Reads the features of ``base`` once (at most 256 tiles a bag), and a few tiles' pixels of every unit.

    ``progress`` is told of the slides whose features, then of the units whose pixels are read.

    Raises:
        DataError: features that cannot be read.
    """
    units = spread_rows(len(labels), MOST_UNITS)
    names = labels.keys if labels.groups is None else labels.groups
    groups = names[units].tolist()
    if isinstance(config, MilConfig):
        bags = open_bags(base, labels, quiet=True)
        most = min(max(_MOST_ROWS // len(units), _FEWEST), MOST_TILES)
        rows, places = [], {}
        for number, unit in enumerate(units.tolist(), start=1):
            rows.append(bags.load(unit, spread_rows(int(bags.n_tiles[unit]), most)))
            places[unit] = bags.coords(unit)
            if progress is not None:
                progress(number, len(units), "features of its slides")
        tiles = bags.n_tiles[units]
        metas = [read_bag_header(bags.paths[unit]).meta for unit in units.tolist()]
    else:
        with open_rows([base], labels.keys, memory_gib=0) as found:
            rows = list(found.take(units).numpy()[:, None])
        metas = [read_meta(base)] * len(units)
        tiles, places = np.ones(len(units), dtype=np.int64), {u: patch_place(labels.keys[u]) for u in units.tolist()}
    distances = held_out_distances(rows, groups, FeatureSpace.fit_without)
    space = None if distances is None else FeatureSpace.fit(np.concatenate(rows))
    counted = tiles.tolist() if isinstance(config, MilConfig) else [None] * len(units)
    seen = _seen(config, labels, units, places, progress)
    if seen is None:
        looks = [Look(mpp_um_per_px=level0_um_per_px(meta)) for meta in metas]
        plain = [row_of(one, tiles=number, stain=None) for one, number in zip(looks, counted, strict=True)]
        return Cohort(units=units, tiles=tiles, space=space, tile_distances=distances, rows=plain)
    stains = np.stack([stain for _, stain in seen])
    away = held_out_distances(list(stains[:, None]), groups, StainSpace.fit_without)
    return Cohort(
        units=units,
        tiles=tiles,
        space=space,
        tile_distances=distances,
        rows=[row_of(one, tiles=number, stain=stain) for (one, stain), number in zip(seen, counted, strict=True)],
        stains=stains,
        stain_space=None if away is None else StainSpace.fit(stains),
        stain_distances=away,
    )


def patch_place(key: str) -> Int[np.ndarray, "1 2"] | None:
    """Where in its image a patch lies, by its key ``<image>#<x>_<y>``; None of a whole image."""
    _, mark, place = key.rpartition("#")
    return np.array([place.split("_")], dtype=np.int64) if mark else None


def _seen(
    config: MilConfig | ProbeConfig,
    labels: LabelTable,
    units: np.ndarray,
    places: Mapping[int, np.ndarray | None],
    progress: Progress | None,
) -> list[tuple[Look, Float[np.ndarray, " 6"]]] | None:
    """What each unit's picture says of itself, and its stain; None where pictures are not at hand."""
    try:
        pixels = dict(_pixels(config))
        if not pixels:
            return None
        status = StatusBook(config.features, ())
        keys = {unit: labels.keys[unit] for unit in units.tolist()}
        shown = {unit: pixels[image_of(key) if isinstance(config, ProbeConfig) else key] for unit, key in keys.items()}
        looks = {one.path: look_at(one, tissue=False) for one in shown.values()}
        stains = stains_of({unit: (one, places[unit]) for unit, one in shown.items()}, progress)
        return [(_with_tissue(looks[shown[unit].path], status.read(key)), stains[unit]) for unit, key in keys.items()]
    except (InputError, KeyError) as error:
        why = reason(error) if isinstance(error, InputError) else f"{error} has no image"
        log.warning("the classifier directory says nothing of stain: %s", why)
        return None


def _with_tissue(look: Look, encoded: Outcome | None) -> Look:
    """The share of tissue, by the area that was found when the slide was encoded."""
    if encoded is None or encoded.tissue_mm2 is None or not look.area_mm2:
        return look
    return replace(look, tissue_share=encoded.tissue_mm2 / look.area_mm2)


def _pixels(config: MilConfig | ProbeConfig) -> Iterator[tuple[str, Pixels]]:
    """Slides, images or patches by the names that the label table has; none of feature files and sets in h5."""
    data = config.data
    if isinstance(data, SlideSetSettings):
        for row in read_slide_table(data.labels):
            yield slide_name(row.name), Pixels(find_slide(data.root, row.name), data, row.mpp_um_per_px)
    elif isinstance(data, PatchSetSettings) and data.layout != "pcam":
        for image in find_images(data):
            yield image.key if isinstance(config, ProbeConfig) else image.path.stem, Pixels(image.path, data)
