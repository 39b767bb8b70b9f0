"""Spot files of the ST Spot Detector (`x y new_x new_y pixel_x pixel_y selected`), and their match with count rows."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from hage_transfer.data.count_table import CountTable, read_bytes
from hage_transfer.data.section_form import some
from hage_transfer.errors import DataError

COLUMNS = ("x", "y", "pixel_x", "pixel_y")


@dataclass(frozen=True)
class MatchedSpots:
    """Count rows that have a selected spot, in the count table's order.

    Attributes:
        rows: row of the count table.
        coords_px: (x, y) of the spot's centre, level 0.
        mismatches: what did not fit, by kind.
    """

    rows: np.ndarray
    coords_px: Float[np.ndarray, "spot 2"]
    mismatches: dict[str, int]


def read_spot_file(path: Path) -> pd.DataFrame:
    """Spots with `name` (array x and y, rounded, `XxY`, as count rows are named), `pixel_x`, `pixel_y`, `selected`.

    Raises:
        DataError: missing, a column missing, or text among the numbers.
    """
    try:
        table = pd.read_csv(io.BytesIO(read_bytes(path)), sep="\t")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a tab-separated table of spots: {error}") from None
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise DataError(
            f"{path}: column {', '.join(missing)} missing; the file has {some(list(table.columns), 10)}, "
            f"wanted {', '.join(COLUMNS)} and, where some spots are not under tissue, selected"
        )
    wanted = [*COLUMNS, *(["selected"] if "selected" in table else [])]
    numbers = table[wanted].apply(pd.to_numeric, errors="coerce")
    for column in wanted:
        wrong = np.flatnonzero(~np.isfinite(numbers[column]))
        if len(wrong):
            raise DataError(
                f"{path}: line {wrong[0] + 2}, column {column}: {table[column].iloc[wrong[0]]!r} is not a number"
            )
    rounded = numbers[["x", "y"]].round().astype(int).astype(str)
    return pd.DataFrame(
        {
            "name": rounded["x"] + "x" + rounded["y"],
            "pixel_x": numbers["pixel_x"],
            "pixel_y": numbers["pixel_y"],
            "selected": numbers["selected"] != 0 if "selected" in numbers else True,
        }
    )


def match_spots(table: CountTable, spots: pd.DataFrame, *, paths: tuple[Path, Path]) -> MatchedSpots:
    """Matches count rows and spots by name; of a spot listed twice the first selected one counts.

    Args:
        table: the counts.
        spots: columns `name`, `pixel_x`, `pixel_y`, `selected`.
        paths: count file and spot file, for the message.

    Raises:
        DataError: no common spot.
    """
    ordered = spots.sort_values("selected", ascending=False, kind="stable")
    once = ordered.drop_duplicates("name").set_index("name")
    selected = once[once["selected"]]
    place = selected.index.get_indexer(pd.Index(table.spots))
    rows = np.flatnonzero(place >= 0)
    if not len(rows):
        raise DataError(
            f"{paths[0]} and {paths[1]}: no common spots; the counts name theirs {some(table.spots, 2)}, the spot file "
            f"{some(list(selected.index), 2) or 'none (none is selected)'}; are they of the same section?"
        )
    return MatchedSpots(
        rows=rows,
        coords_px=selected[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64)[place[rows]],
        mismatches={
            "count_rows_without_spot": int((~pd.Index(table.spots).isin(once.index)).sum()),
            "count_rows_of_unselected_spots": int(pd.Index(table.spots).isin(once.index[~once["selected"]]).sum()),
            "spots_without_counts": int((~selected.index.isin(table.spots)).sum()),
            "unselected_spots": int((~once["selected"]).sum()),
            "duplicate_spots": len(spots) - len(once),
        },
    )
