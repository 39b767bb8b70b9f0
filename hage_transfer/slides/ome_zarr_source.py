"""Pictures of an OME-Zarr group (`<store>.zarr/images/<name>`): three channels of 8 bits, levels as they are listed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hage_transfer.damage import reading
from hage_transfer.errors import DataError
from hage_transfer.slides.resolution import Recorded
from hage_transfer.slides.sources import MAX_SIDE_PX

_AXES = ["c", "y", "x"]


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is a group that lists the levels of a picture."""
    return bool(_multiscales(path))


class OmeZarrSource:
    """A picture of an open store, read chunk by chunk; see ``PixelSource``."""

    origin_px: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()
    recorded: tuple[Recorded, ...] = ()  # its scales are of a coordinate system, which need not be micrometres

    def __init__(self, path: Path) -> None:
        import zarr

        self._path = path
        with reading(path, "cannot be read as an OME-Zarr picture"):
            scales = _multiscales(path)[0]
            axes = [axis["name"] for axis in scales["axes"]]
            group = zarr.open_group(path, mode="r")
            self._levels: list[Any] = [group[level["path"]] for level in scales["datasets"]]
            shapes = [tuple(level.shape) for level in self._levels]
            kinds = {str(level.dtype) for level in self._levels}
        if axes != _AXES or any(len(shape) != 3 or shape[0] != 3 for shape in shapes) or kinds != {"uint8"}:
            raise DataError(
                f"{path}: axes {''.join(axes)} of {shapes[:1]} {', '.join(sorted(kinds))}; a stained picture has three "
                "channels of 8 bits (c, y, x)"
            )
        self.level_sizes_px: tuple[tuple[int, int], ...] = tuple((shape[2], shape[1]) for shape in shapes)
        if not all(0 < side <= MAX_SIDE_PX for size in self.level_sizes_px for side in size):
            raise DataError(f"{path}: declares levels of {self.level_sizes_px} px, which no scanner makes")

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
        """See ``PixelSource.read``."""
        with reading(self._path, "damaged chunk", remedy="fetch it again"):
            planes = self._levels[level][:, y_px : y_px + height_px, x_px : x_px + width_px]
        return np.ascontiguousarray(np.moveaxis(np.asarray(planes), 0, 2))

    def close(self) -> None:
        """See ``PixelSource.close``."""
        self._levels = []


def _multiscales(path: Path) -> list[Mapping[str, Any]]:
    """The list of pictures in a group's attributes, of zarr 3 or 2; [] where there is none."""
    for name in ("zarr.json", ".zattrs"):
        try:
            facts = json.loads((path / name).read_text(encoding="utf-8"))
            facts = facts.get("attributes", {}) if name == "zarr.json" else facts
            found = facts.get("ome", facts).get("multiscales", [])
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(found, list) and found:
            return found
    return []
