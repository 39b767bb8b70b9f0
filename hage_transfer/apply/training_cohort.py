"""The training cohort of a run, summed up: its tiles' features and, where its pixels are at hand, its stain."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from hage_transfer.apply.cohort import MOST_TILES, FeatureSpace, StainSpace, held_out_distances
from hage_transfer.apply.stain import Pixels, spread_rows
from hage_transfer.config import PatchSetSettings, SlideSetSettings
from hage_transfer.data.labels import LabelTable
from hage_transfer.data.patches import find_images
from hage_transfer.errors import InputError, reason
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.rows import open_rows
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
        stains: of each unit; None where pixels are not at hand.
        stain_space: likewise.
        stain_distances: held out; None likewise.
    """

    units: Int[np.ndarray, " unit"]
    tiles: Int[np.ndarray, " unit"]
    space: FeatureSpace | None
    tile_distances: Float[np.ndarray, " unit"] | None
    stains: Float[np.ndarray, "unit 6"] | None = None
    stain_space: StainSpace | None = None
    stain_distances: Float[np.ndarray, " unit"] | None = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """For ``cohort.safetensors``."""
        found: dict[str, np.ndarray] = {}
        if self.space is not None and self.tile_distances is not None:
            found |= {f"features.{name}": value for name, value in self.space.tensors().items()}
        if self.stain_space is not None and self.stain_distances is not None:
            found |= {"stain.mean": self.stain_space.mean, "stain.precision": self.stain_space.precision}
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


def cohort_of(config: MilConfig | ProbeConfig, labels: LabelTable, base: Path) -> Cohort:
    """Reads the features of ``base`` once (at most 256 tiles a bag), and a few tiles' pixels of every unit.

    Raises:
        DataError: features that cannot be read.
    """
    units = spread_rows(len(labels), MOST_UNITS)
    names = labels.keys if labels.groups is None else labels.groups
    groups = names[units].tolist()
    if isinstance(config, MilConfig):
        bags = open_bags(base, labels, quiet=True)
        most = min(max(_MOST_ROWS // len(units), _FEWEST), MOST_TILES)
        rows = [bags.load(unit, spread_rows(int(bags.n_tiles[unit]), most)) for unit in units.tolist()]
        tiles, places = bags.n_tiles[units], {unit: bags.coords(unit) for unit in units.tolist()}
    else:
        with open_rows([base], labels.keys, memory_gib=0) as found:
            rows = list(found.take(units).numpy()[:, None])
        tiles, places = np.ones(len(units), dtype=np.int64), {u: patch_place(labels.keys[u]) for u in units.tolist()}
    distances = held_out_distances(rows, groups, FeatureSpace.fit)
    space = None if distances is None else FeatureSpace.fit(np.concatenate(rows))
    stains = _stains(config, labels, units, places)
    if stains is None:
        return Cohort(units=units, tiles=tiles, space=space, tile_distances=distances)
    away = held_out_distances(list(stains[:, None]), groups, StainSpace.fit)
    return Cohort(
        units=units,
        tiles=tiles,
        space=space,
        tile_distances=distances,
        stains=stains,
        stain_space=None if away is None else StainSpace.fit(stains),
        stain_distances=away,
    )


def patch_place(key: str) -> Int[np.ndarray, "1 2"] | None:
    """Where in its image a patch lies, by its key ``<image>#<x>_<y>``; None of a whole image."""
    _, mark, place = key.rpartition("#")
    return np.array([place.split("_")], dtype=np.int64) if mark else None


def _stains(
    config: MilConfig | ProbeConfig, labels: LabelTable, units: np.ndarray, places: Mapping[int, np.ndarray | None]
) -> Float[np.ndarray, "unit 6"] | None:
    try:
        pixels = dict(_pixels(config))
        if not pixels:
            return None
        images = [
            key.partition("#")[0] if isinstance(config, ProbeConfig) else key for key in labels.keys[units].tolist()
        ]
        return np.stack([pixels[image].stain(places[unit]) for image, unit in zip(images, units.tolist(), strict=True)])
    except (InputError, KeyError) as error:
        why = reason(error) if isinstance(error, InputError) else f"{error} has no image"
        log.warning("the classifier directory says nothing of stain: %s", why)
        return None


def _pixels(config: MilConfig | ProbeConfig) -> Iterator[tuple[str, Pixels]]:
    """Slides, images or patches by the names that the label table has; none of feature files and sets in h5."""
    data = config.data
    if isinstance(data, SlideSetSettings):
        for row in read_slide_table(data.labels):
            yield slide_name(row.name), Pixels(find_slide(data.root, row.name), data, row.mpp_um_per_px)
    elif isinstance(data, PatchSetSettings) and data.layout != "pcam":
        for image in find_images(data):
            yield image.key if isinstance(config, ProbeConfig) else image.path.stem, Pixels(image.path, data)
