"""Space Ranger's positions of spots: `tissue_positions.parquet` (HD), `.csv`, or `_list.csv` (without header)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hage_transfer.data.sections.tables import as_text, numbers_of, read_bytes, read_table
from hage_transfer.errors import DataError

POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet")
COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


def read_positions(path: Path) -> pd.DataFrame:
    """Spots with `name`, `pixel_x`, `pixel_y`, `selected` (in tissue), `array_row`, `array_col`.

    Raises:
        DataError: not such a table, a column missing, or text among its numbers.
    """
    table = read_table(path, "a csv of spot positions", COLUMNS, index_col=False, **_header(path))
    numbers = numbers_of(path, table, COLUMNS[1:], lambda row: f"barcode {table['barcode'].iloc[row]}")
    flags = numbers["in_tissue"]
    if not flags.isin((0, 1)).all():
        raise DataError(f"{path}: column in_tissue holds {flags[~flags.isin((0, 1))].iloc[0]:g}, wanted 0 or 1")
    return pd.DataFrame(
        {
            "name": table["barcode"].map(as_text),
            "pixel_x": numbers["pxl_col_in_fullres"],
            "pixel_y": numbers["pxl_row_in_fullres"],
            "selected": flags == 1,
            "array_row": numbers["array_row"],
            "array_col": numbers["array_col"],
        }
    )


def tissue_flags(path: Path, spots: pd.Index, column: pd.Series | None, *, among: np.ndarray) -> np.ndarray:
    """Mask of the spots under tissue by ``obs["in_tissue"]``: all where there is no such column.

    Raises:
        DataError: of the spots ``among``, one has another flag than 0 or 1, or none is under tissue.
    """
    if column is None:
        return np.ones(len(spots), dtype=bool)
    words = column.astype(str).str.strip().str.lower().replace({"true": "1", "false": "0"})
    flags = pd.to_numeric(words, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isin(flags, (0, 1)) & among)
    if len(wrong):
        raise DataError(f'{path}: obs["in_tissue"] of spot {spots[wrong[0]]} is {column.iloc[wrong[0]]}, wanted 0 or 1')
    if not np.any((flags == 1) & among):
        raise DataError(f'{path}: obs["in_tissue"] is 0 for every spot, so there is none to read')
    return np.asarray(flags == 1)


def _header(path: Path) -> dict[str, Any]:
    """How pandas reads a csv with names in its first line, or without (until Space Ranger 2)."""
    if path.suffix == ".parquet":
        return {}
    first = read_bytes(path).split(b"\n", 1)[0].decode("utf-8-sig", errors="replace").split(",")
    has_header = len(first) < 2 or not first[1].strip().strip('"').replace(".", "", 1).isdigit()
    return {"header": 0} if has_header else {"header": None, "names": COLUMNS}
