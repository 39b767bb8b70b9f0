"""Which dataset of another tool's h5 holds the rows, and what STAMP records beside them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hage_transfer.data.feature_layouts.recorded import Given
from hage_transfer.data.h5_file import plain_attributes
from hage_transfer.data.tile_coords import coords_of
from hage_transfer.errors import DataError

ROWS, STAMP_ROWS = "features", "feats"
STAMP_1_PX, STAMP_1_UM = 224, 256.0
_TILE_KINDS = (None, "tile")


def rows_name(path: Path, file: h5py.File, given: str | None) -> str:
    """Name of the dataset of the rows: as given, ``features`` (CLAM, TRIDENT) or ``feats`` (STAMP).

    Raises:
        DataError: none of them is there; the message names what could be meant.
    """
    there = sorted(file)
    if given is not None:
        if given not in there:
            raise DataError(f"{path}: has no dataset {given} (dataset=), only {there}")
        return given
    found = next((name for name in (ROWS, STAMP_ROWS) if file.get(name, getlink=True) is not None), None)
    if found is not None:
        return found
    others = [name for name in there if name != "coords" and _could_be_rows(file, name)]
    if others:
        raise DataError(
            f"{path}: has no dataset `features` (CLAM, TRIDENT) or `feats` (STAMP), only {there}; if its rows are "
            f"{others[0]}, say so: dataset={others[0]}"
        )
    if "coords" in there:
        raise DataError(
            f"{path}: holds coords and no features: a file of patches; give the features made from it "
            "(CLAM: h5_files, TRIDENT: features_<encoder>), and this folder as coords= where they need it"
        )
    raise DataError(f"{path}: has no dataset `features`, only {there}; not a feature file of CLAM or TRIDENT")


def unit_of_coords(path: Path, file: h5py.File, name: str, given: Given) -> float | None:
    """Units of the coords in a level-0 px, by which they become pixels; None where they are pixels.

    STAMP from version 2 on writes coords in um, and before in px at 256 um / 224 px; neither writes the resolution of
    the slide.

    Args:
        path: of the file.
        file: open.
        name: of the dataset of its rows.
        given: what the user says.

    Raises:
        DataError: such coords of a slide whose resolution is not given, or coords in another unit.
    """
    unit = plain_attributes({"unit": file.attrs["unit"]}).get("unit") if "unit" in file.attrs else None
    if unit in ("px", "pixel", "pixels") or "coords" not in file:
        return None
    of_stamp_1 = unit is None and name == STAMP_ROWS and _step(path, file) == STAMP_1_PX
    if unit is None and not of_stamp_1:
        return None
    if unit not in (None, "um", "µm", "μm"):
        raise DataError(f"{path}: its coords are in {unit!r:.20}, wanted level-0 px or um")
    if given.slide_mpp_um_per_px is None:
        what, other = f"{STAMP_ROWS} with coords in um", ""
        if of_stamp_1:
            what = f"{STAMP_ROWS} with coords that step by 224 and name no unit, as STAMP 1's at 256 um / 224 px do"
            other = "; if they are level-0 px, write the attribute unit = px into the file"
        raise DataError(
            f"{path}: {what}, and level-0 px are wanted; say the slides' um per px of level 0: "
            f"slide_mpp_um_per_px=0.25 (a folder of each resolution by itself){other}"
        )
    return given.slide_mpp_um_per_px * (STAMP_1_PX / STAMP_1_UM if of_stamp_1 else 1.0)


def recorded_by_stamp(path: Path, file: h5py.File, slide_mpp_um_per_px: float | None) -> dict[str, Any]:
    """What STAMP records of encoder and tiles, by the names of ``FeatureMeta``.

    Raises:
        DataError: rows of whole slides or patients.
    """
    said = plain_attributes(file.attrs)
    if said.get("feat_type") not in _TILE_KINDS:
        raise DataError(f"{path}: feat_type is {said['feat_type']!r:.20}: one row for the whole slide, not one a tile")
    facts: dict[str, Any] = {"encoder": said.get("extractor", "")}
    um, px = said.get("tile_size_um"), said.get("tile_size_px")
    if slide_mpp_um_per_px is not None and "unit" not in said:
        um, px = STAMP_1_UM, STAMP_1_PX
    if not isinstance(um, int | float) or not isinstance(px, int | float) or not (0 < um < 1e6 and 0 < px < 1e6):
        return facts
    facts |= {"patch_size_px": round(px), "mpp_um_per_px": um / px}
    if slide_mpp_um_per_px is not None:
        facts["patch_size_level0_px"] = round(um / slide_mpp_um_per_px)
    return facts


def _step(path: Path, file: h5py.File) -> float:
    """The smallest step between neighbouring tiles along x; 0 where there is none."""
    coords = coords_of(path, file)
    places = np.unique([] if coords is None else coords.values[:, 0])
    return float(np.diff(places).min()) if len(places) > 1 else 0.0


def _could_be_rows(file: h5py.File, name: str) -> bool:
    found = file.get(name) if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    return isinstance(found, h5py.Dataset) and found.dtype.kind == "f" and found.ndim in (2, 3)
