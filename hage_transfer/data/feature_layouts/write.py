"""Writing the layouts: whole files or none, in blocks, and what is there already is kept where it is the same."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.config import config_sha256
from hage_transfer.data.feature_file import Features, store
from hage_transfer.data.feature_layouts.opened import (
    KEPT_ATTRIBUTES,
    KEPT_DTYPE,
    FeatureSource,
    source_of,
)
from hage_transfer.data.feature_layouts.tensor_file import load_tensor, write_tensor
from hage_transfer.data.h5_file import open_h5
from hage_transfer.data.h5_writing import new_h5
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.running.atomic import remove_partial_of

LAYOUTS = ("hage", "clam", "trident", "pt")
CONVERTED_FROM = "converted_from"
_GRID_OPTIONS = {
    "target_magnification": "magnification=",
    "overlap": "overlap_px=",
    "patch_size": "patch_size_px=",
    "patch_size_level0": "patch_size_level0_px=",
    "level0_magnification": "level0_magnification=",
}


@dataclass(frozen=True, kw_only=True)
class TridentGrid:
    """What TRIDENT names its folders by and feature files of others do not record.

    Attributes:
        target_magnification: at which tiles were read.
        overlap: between neighbours, in pixels at that magnification.
        level0_magnification: of the slide; None: the number that gives the tile's side at level 0 by TRIDENT's rule
            (side at level 0 = side x level-0 magnification / target magnification).
    """

    target_magnification: float | None = None
    overlap: int | None = None
    level0_magnification: float | None = None


def write_layout(
    features: FeatureSource | Features,
    layout: str,
    folder: Path,
    *,
    grid: TridentGrid | None = None,
    coord_attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes one slide's features in a layout; files that are there and hold just this are kept.

    ``hage``: ``<slide>.h5``. ``clam``: ``patches/<slide>.h5`` (where the patch size is known), ``pt_files/<slide>.pt``,
    ``h5_files/<slide>.h5``, float32. ``trident``: ``<mag>x_<px>px_<overlap>px_overlap/patches/<slide>_patches.h5`` and
    ``.../features_<encoder>/<slide>.h5``. ``pt``: ``<slide>.pt``. The h5 files carry this project's attributes too,
    which CLAM and TRIDENT do not look at, so that the way back loses nothing.

    Args:
        features: rows, on disk or in memory.
        layout: one of ``LAYOUTS``.
        folder: where to write.
        grid: for ``trident``, what the features do not record.
        coord_attributes: more to record beside the coords, such as TRIDENT's ``level0_width``.
        overwrite: write in place of files that hold something else.

    Returns:
        The files that were written, without those that were kept.

    Raises:
        ConfigError: unknown layout, or something else is there already.
        DataError: the layout needs coords, patch size or magnification and there is none; NaN among the rows.
    """
    source = source_of(features) if isinstance(features, Features) else features
    if coord_attributes:
        source = replace(source, coord_attributes={**source.coord_attributes, **coord_attributes})
    plan = _plan(source, layout, folder, grid or TridentGrid())
    stamp = config_sha256({"source": source.stamp, "layout": layout, "beside": plan.beside, "grid": asdict(plan.grid)})
    left = _left(source, plan, stamp, overwrite=overwrite)
    for path in left:
        remove_partial_of(path)
        if path.suffix == ".pt":
            dtype = np.dtype(np.float32) if layout == "clam" else source.dtype
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensor(path, source.blocks(), n_rows=source.n_rows, width=source.width, dtype=dtype)
        else:
            _write_h5(path, source, plan, stamp, with_rows=path == plan.paths[-1])
    return left


def layout_paths(source: FeatureSource, layout: str, folder: Path, *, grid: TridentGrid | None = None) -> list[Path]:
    """The files that ``write_layout`` would write, the one of the rows last; errors as there."""
    return list(_plan(source, layout, folder, grid or TridentGrid()).paths)


@dataclass(frozen=True)
class _Plan:
    """Files to write, in order: the last holds the rows and is the sign that all are there."""

    paths: tuple[Path, ...]
    layout: str
    beside: dict[str, Any]
    grid: TridentGrid


def _plan(source: FeatureSource, layout: str, folder: Path, grid: TridentGrid) -> _Plan:
    slide = source.slide
    if layout in ("pt", "hage"):
        return _Plan((folder / f"{slide}.{'pt' if layout == 'pt' else 'h5'}",), layout, {}, grid)
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout {layout}: wanted {', '.join(LAYOUTS)}")
    if source.coords is None:
        raise DataError(f"{source.path}: has no coords, which {layout} needs; give their file or folder with coords=")
    if layout == "clam":
        beside = _clam_attributes(source)
        patches = (folder / "patches" / f"{slide}.h5",) if beside else ()
        rows = (folder / "pt_files" / f"{slide}.pt", folder / "h5_files" / f"{slide}.h5")
        return _Plan((*patches, *rows), layout, beside, grid)
    beside = _trident_attributes(source, grid)
    sizes = f"{beside['target_magnification']:g}x_{beside['patch_size']}px_{beside['overlap']}px_overlap"
    encoder = re.sub(r"[^\w.-]+", "_", source.meta.encoder)
    paths = (
        folder / sizes / "patches" / f"{slide}_patches.h5",
        folder / sizes / f"features_{encoder}" / f"{slide}.h5",
    )
    return _Plan(paths, layout, beside, grid)


def _clam_attributes(source: FeatureSource) -> dict[str, Any]:
    """CLAM's attributes of coords: its own again, or the tile as level-0 pixels; empty where no size is known."""
    kept, side = source.coord_attributes, source.meta.patch_size_level0_px
    if "patch_level" in kept:
        return {**kept}
    return {"patch_size": side, "patch_level": 0, "downsample": [1.0, 1.0], "name": source.slide} if side else {}


def _trident_attributes(source: FeatureSource, grid: TridentGrid) -> dict[str, Any]:
    """TRIDENT's attributes of coords: its own again, or those that the user gives."""
    kept, meta = source.coord_attributes, source.meta
    recorded: dict[str, Any] = kept if "target_magnification" in kept else {}
    for name, value in asdict(grid).items():
        met = recorded.get(name)
        if None not in (met, value) and met != value:
            raise DataError(
                f"{source.path}: records {name} {met}, {_GRID_OPTIONS[name]} says {value}; leave the option out"
            )
    values = {
        "patch_size": meta.patch_size_px or None,
        "patch_size_level0": meta.patch_size_level0_px or None,
        **{name: value for name, value in asdict(grid).items() if name != "level0_magnification"},
        **recorded,
    }
    missing = [_GRID_OPTIONS[name] for name in _GRID_OPTIONS if name in values and values[name] is None]
    if missing:
        raise DataError(
            f"{source.path}: TRIDENT names folders by magnification, patch size and overlap, which this file does not "
            f"record; give {', '.join(missing)}"
        )
    level0 = (
        grid.level0_magnification or values["target_magnification"] * values["patch_size_level0"] / values["patch_size"]
    )
    sizes: dict[str, Any] = {name: kept[name] for name in ("level0_width", "level0_height") if name in kept}
    return {"level0_magnification": level0, "name": source.slide, **sizes, **values}


def _left(source: FeatureSource, plan: _Plan, stamp: str, *, overwrite: bool) -> list[Path]:
    """Files that are not there yet, or are to be replaced."""
    there = [path for path in plan.paths if path.exists()]
    if overwrite:
        return list(plan.paths)
    rows = plan.paths[-1]
    if len(there) == len(plan.paths) and rows.suffix == ".h5" and _stamp_of(rows) == stamp:
        return []
    current = [path for path in there if _is_current(path, source, stamp)]
    other = [path for path in there if path not in current]
    if other:
        raise ConfigError(
            f"{other[0]}: is there already and was not made from {source.path.name} as it is now with these options; "
            "give another out=, or overwrite=True to replace it"
        )
    return [path for path in plan.paths if path not in current]


def _is_current(path: Path, source: FeatureSource, stamp: str) -> bool:
    if path.suffix == ".h5":
        return _stamp_of(path) == stamp
    try:
        tensor = load_tensor(path)
    except DataError:
        return False
    if tuple(tensor.shape) != (source.n_rows, source.width):
        return False
    start = 0
    for block in source.blocks():
        if not np.array_equal(tensor[start : start + len(block)].numpy(), block):
            return False
        start += len(block)
    return True


def _stamp_of(path: Path) -> str:
    try:
        with open_h5(path) as file:
            return str(file.attrs.get(CONVERTED_FROM, ""))
    except DataError:
        return ""


def _write_h5(path: Path, source: FeatureSource, plan: _Plan, stamp: str, *, with_rows: bool) -> None:
    with new_h5(path) as file:
        file.attrs[CONVERTED_FROM] = stamp
        if with_rows:
            keys = source.keys
            if keys is None and source.coords is None:
                keys = np.array([f"{source.slide}#row{row}" for row in range(source.n_rows)], dtype=object)
            dtype = np.dtype(np.float32) if plan.layout == "clam" else source.dtype
            shape = source.n_rows, source.width
            store(path, file, source.blocks(), source.meta, shape=shape, dtype=dtype, keys=keys, coords=source.coords)
            file.attrs[KEPT_ATTRIBUTES] = json.dumps(source.coord_attributes)
            file.attrs[KEPT_DTYPE] = source.dtype.name
        else:
            file.create_dataset("coords", data=np.asarray(source.coords, dtype=np.int64))
        if source.coords is not None and (plan.layout == "trident" or not with_rows):
            file["coords"].attrs.update(plan.beside)
        if with_rows and plan.layout == "trident":
            file["features"].attrs.update({"name": source.slide, "encoder": source.meta.encoder})
