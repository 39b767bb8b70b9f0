"""Space Ranger's positions of spots: `tissue_positions.parquet` (HD), `.csv`, or `_list.csv` (without header)."""

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow

from hage_transfer.data.sections.count_table import read_bytes
from hage_transfer.data.sections.read_faults import READ_FAULTS
from hage_transfer.errors import DataError, some

POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet")
COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


def read_positions(path: Path) -> pd.DataFrame:
    """Spots with `name`, `pixel_x`, `pixel_y`, `selected` (in tissue), `array_row`, `array_col`.

    Raises:
        DataError: not such a table, a column missing, or text among its numbers.
    """
    table = read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise DataError(f"{path}: column {', '.join(missing)} missing; the file has {some(list(table.columns), 10)}")
    numbers = table[COLUMNS[1:]].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    for column in numbers:
        wrong = np.flatnonzero(~np.isfinite(numbers[column]))
        if len(wrong):
            barcode, value = table["barcode"].iloc[wrong[0]], table[column].iloc[wrong[0]]
            raise DataError(f"{path}: barcode {barcode}, column {column}: {value!r} is not a number")
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


def read_parquet(path: Path) -> pd.DataFrame:
    """A parquet table.

    Raises:
        DataError: missing, or not whole.
    """
    try:
        table = pd.read_parquet(path)
    except (*READ_FAULTS, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as parquet ({error}); fetch it again") from None
    return table.reset_index() if table.index.name is not None else table


def as_text(name: object) -> str:
    """A name that older files hold as bytes."""
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else str(name)


def _read_csv(path: Path) -> pd.DataFrame:
    raw = read_bytes(path)
    first = raw.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace").split(",")
    has_header = len(first) < 2 or not first[1].strip().strip('"').replace(".", "", 1).isdigit()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are longer than the header
            return pd.read_csv(
                io.BytesIO(raw),
                header=0 if has_header else None,
                names=None if has_header else COLUMNS,
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
            )
    except (*READ_FAULTS, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path}: not a csv of spot positions: {error}") from None
