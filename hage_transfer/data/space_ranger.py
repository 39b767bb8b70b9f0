"""Space Ranger output: `filtered_feature_bc_matrix.h5` and `spatial/`, in the root itself or in `root/<section>/`.

The full-resolution image is not part of the output: it is `image.*`, or the only image file, beside the matrix. An
optional `patients.csv` (`section,patient`) in the root tells the patients; else each section is a patient of its own.
"""

import csv
import json
import logging
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from hage_transfer.data.count_table import CountTable
from hage_transfer.data.gene_columns import GeneColumns, gene_names_of, merge_symbols
from hage_transfer.data.section_form import RawSection, some
from hage_transfer.data.spot_file import match_spots
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

MATRIX = "filtered_feature_bc_matrix.h5"
POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv")
POSITION_COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
IMAGE_ENDINGS = (".tif", ".tiff", ".btf", ".jpg", ".jpeg", ".png", ".svs", ".ndpi", ".mrxs", ".scn")
# Space Ranger writes the diameter, in full-resolution pixels, of a theoretical spot of this size.
SPOT_DIAMETER_UM = 65.0


def find(root: Path) -> dict[str, Path]:
    """Every section under ``root`` and its folder, sorted; one in the root itself is named as the root's folder."""
    if (root / MATRIX).is_file():
        return {root.resolve().name: root}
    folders = [path.parent for pattern in (f"*/{MATRIX}", f"*/outs/{MATRIX}") for path in root.glob(pattern)]
    named = {(folder.parent if folder.name == "outs" else folder).name: folder for folder in folders}
    return {name: named[name] for name in sorted(named)}


def read(root: Path, name: str, path: Path) -> RawSection:
    """Reads one section from its folder ``path``.

    Raises:
        DataError: matrix, positions or `patients.csv` missing or not in their form, or no common barcode.
    """
    table, genes = _read_matrix(path / MATRIX)
    positions = _positions_path(path / "spatial")
    matched = match_spots(table, _read_positions(positions), paths=(path / MATRIX, positions))
    return RawSection(
        name=name,
        patient=_patient(root / "patients.csv", name),
        path=path / MATRIX,
        spots=[table.spots[row] for row in matched.rows],
        genes=table.genes,
        counts=table.counts[matched.rows],
        coords_px=matched.coords_px,
        image=_image(path),
        mpp_um_per_px=_resolution(path / "spatial" / "scalefactors_json.json"),
        mismatches={**matched.mismatches, "symbols_merged": genes.n_merged},
        gene_ids=genes.ids,
    )


def _read_matrix(path: Path) -> tuple[CountTable, GeneColumns]:
    """Gene-expression counts by symbol; features of one symbol are summed."""
    import scanpy as sc

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Variable names are not unique", category=UserWarning)
            table = sc.read_10x_h5(path)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a Space Ranger matrix ({error})") from None
    symbols, ids = gene_names_of(table.var)
    genes = merge_symbols(sp.csr_matrix(table.X), symbols, ids)
    return CountTable(list(table.obs_names), genes.symbols, genes.counts), genes


def _positions_path(folder: Path) -> Path:
    for name in POSITIONS:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: no {' or '.join(POSITIONS)}, so the spots have no positions")


def _read_positions(path: Path) -> pd.DataFrame:
    has_header = path.name == "tissue_positions.csv"
    try:
        table = pd.read_csv(path, header=0 if has_header else None, names=None if has_header else POSITION_COLUMNS)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a csv of spot positions: {error}") from None
    missing = [column for column in POSITION_COLUMNS if column not in table]
    if missing:
        raise DataError(f"{path}: column {', '.join(missing)} missing; the file has {some(list(table.columns), 10)}")
    numbers = table[POSITION_COLUMNS[1:]].apply(pd.to_numeric, errors="coerce")
    for column in numbers:
        wrong = np.flatnonzero(~np.isfinite(numbers[column]))
        if len(wrong):
            barcode, value = table["barcode"].iloc[wrong[0]], table[column].iloc[wrong[0]]
            raise DataError(f"{path}: barcode {barcode}, column {column}: {value!r} is not a number")
    return pd.DataFrame(
        {
            "name": table["barcode"].astype(str),
            "pixel_x": numbers["pxl_col_in_fullres"],
            "pixel_y": numbers["pxl_row_in_fullres"],
            "selected": numbers["in_tissue"] != 0,
        }
    )


def _resolution(path: Path) -> float:
    """Micrometres per pixel from the recorded spot diameter; NaN without the file."""
    if not path.is_file():
        log.warning("%s: no such file, so the resolution is unknown; data.mpp_um_per_px can give it", path)
        return math.nan
    try:
        factors = json.loads(path.read_text(encoding="utf-8"))
        if "microns_per_pixel" in factors:
            return float(factors["microns_per_pixel"])
        return SPOT_DIAMETER_UM / float(factors["spot_diameter_fullres"])
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise DataError(f"{path}: no usable spot_diameter_fullres in it ({error!r})") from None


def _image(folder: Path) -> Path | None:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
    named = [path for path in images if path.stem == "image"]
    chosen = named or images
    if len(chosen) > 1:
        raise DataError(
            f"{folder}: {len(chosen)} images ({some([path.name for path in chosen])}); name the full-resolution one "
            "image.<ending>"
        )
    return chosen[0] if chosen else None


def _patient(path: Path, name: str) -> str:
    if not path.is_file():
        return name
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    if not rows or not {"section", "patient"} <= set(rows[0]):
        raise DataError(f"{path}: wanted a csv with the columns section,patient and a row for each section")
    patients = {row["patient"] for row in rows if row["section"] == name}
    if len(patients) != 1 or not all(patients):
        raise DataError(f"{path}: section {name} has {len(patients)} patients in it, wanted one")
    return patients.pop()
