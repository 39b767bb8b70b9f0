"""Spot files of the ST Spot Detector (`x y new_x new_y pixel_x pixel_y selected`), and their match with count rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from hage_transfer.data.sections.tables import numbers_of, read_table
from hage_transfer.errors import DataError, some

_LEAST_COMMON = 0.5
_LARGEST_PLACE = 100_000
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

    ``off`` is how far the array position is from the rounded one that names it.

    Raises:
        DataError: missing, a column missing, or text among the numbers.
    """
    wanted = f", wanted {', '.join(COLUMNS)} and, where some spots are not under tissue, selected"
    table = read_table(path, "a tab-separated table of spots", COLUMNS, wanted=wanted, sep="\t")
    columns = [*COLUMNS, *(["selected"] if "selected" in table else [])]
    if "selected.1" in table:
        raise DataError(f"{path}: column selected is there twice; keep one")
    numbers = numbers_of(path, table, columns, lambda row: f"line {row + 2}")
    if "selected" in numbers and not (flags := numbers["selected"].isin((0, 1))).all():
        row = int(np.argmin(flags))
        raise DataError(f"{path}: line {row + 2}, column selected: {numbers['selected'].iloc[row]:g}, wanted 0 or 1")
    if numbers[["x", "y"]].abs().to_numpy().max(initial=0) > _LARGEST_PLACE:
        raise DataError(f"{path}: columns x and y hold pixels, wanted places on the array, as count rows are named")
    whole = numbers[["x", "y"]].round()
    rounded = whole.astype(int).astype(str)
    return pd.DataFrame(
        {
            "name": rounded["x"] + "x" + rounded["y"],
            "pixel_x": numbers["pixel_x"],
            "pixel_y": numbers["pixel_y"],
            "selected": numbers["selected"] != 0 if "selected" in numbers else True,
            "off": np.hypot(*(numbers[["x", "y"]] - whole).to_numpy().T),
        }
    )


def match_spots(counted: Sequence[str], spots: pd.DataFrame, *, paths: tuple[Path, Path]) -> MatchedSpots:
    """Matches count rows and spots by name; of two spots of one name the one that is nearer to its place has it.

    Args:
        counted: names of the count rows.
        spots: columns `name`, `pixel_x`, `pixel_y`, `selected` and, where names are rounded places, `off`.
        paths: count file and spot file, for the message.

    Raises:
        DataError: no common spot, fewer than half in common, more in common with x and y of the names exchanged or
            with all places moved by one, or two spots that have as good a claim to one name.
    """
    both = f"{paths[0]} and {paths[1]}"
    off = spots["off"] if "off" in spots else pd.Series(0.0, index=spots.index)
    ordered = spots.assign(off=off.round(6)).sort_values(["off", "selected"], ascending=[True, False], kind="stable")
    _refuse_equal_claims(ordered, counted, both)
    once = ordered.drop_duplicates("name").set_index("name")
    selected = once[once["selected"]]
    names = pd.Index(counted)
    place = selected.index.get_indexer(names)
    rows = np.flatnonzero(place >= 0)
    n_possible = min(len(names), len(selected))
    shown = (
        f"the counts name theirs {some(counted, 2)}, the spot file "
        f"{some(list(selected.index), 2) or 'none (none is selected)'}"
    )
    n_exchanged = int((selected.index.get_indexer(pd.Index(map(_exchanged, counted))) >= 0).sum())
    if n_exchanged > len(rows):
        raise DataError(
            f"{both}: {len(rows)} of {n_possible} spots have a name in common, and {n_exchanged} would with x and y "
            f"swapped ({shown}); write the names of one of them the other way round"
        )
    moved, n_moved = _most_in_common(counted, selected.index) if len(rows) < n_possible else ((0, 0), 0)
    if n_moved > len(rows) and moved == (0, 0):
        raise DataError(
            f"{both}: {len(rows)} of {n_possible} spots have a name in common, and {n_moved} would without zeros "
            f"before their numbers ({shown}); write 5x7 for 05x07"
        )
    if n_moved > len(rows):
        raise DataError(
            f"{both}: {len(rows)} of {n_possible} spots have a name in common, and {n_moved} would with {moved} added "
            f"to x and y of the counts' names ({shown}); does one count from 0 and the other from 1? name them alike"
        )
    if not len(rows):
        raise DataError(f"{both}: no common spots; {shown}; are they of the same section?")
    if len(rows) < _LEAST_COMMON * n_possible:
        raise DataError(
            f"{both}: only {len(rows)} of {n_possible} spots have a name in common; {shown}; are they of the same "
            "section, and x and y not swapped?"
        )
    unselected = once.index[~once["selected"]]
    return MatchedSpots(
        rows=rows,
        coords_px=selected[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64)[place[rows]],
        mismatches={
            "count_rows_without_spot": int((~names.isin(once.index)).sum()),
            "count_rows_of_unselected_spots": int(names.isin(unselected).sum()),
            "spots_without_counts": int((~selected.index.isin(names)).sum()),
            "unselected_spots": len(unselected),
            "duplicate_spots": len(spots) - len(once),
        },
    )


def _refuse_equal_claims(ordered: pd.DataFrame, counted: Sequence[str], both: str) -> None:
    """Refuses two selected spots of one name, equally near to its place and at two places of the image."""
    claims = ordered[ordered["selected"] & ordered["name"].isin(counted)]
    nearest = claims[claims["off"] <= claims.groupby("name")["off"].transform("min")]
    apart = nearest.drop_duplicates(["name", "pixel_x", "pixel_y"])
    twice = apart[apart["name"].duplicated(keep=False)]
    if len(twice):
        name = twice["name"].iloc[0]
        places = [f"({x:g}, {y:g})" for x, y in twice.loc[twice["name"] == name, ["pixel_x", "pixel_y"]].to_numpy()]
        raise DataError(f"{both}: spot {name} is listed at {some(places)}; keep one of them")


def _most_in_common(counted: Sequence[str], there: pd.Index) -> tuple[tuple[int, int], int]:
    """The step by which names have most in common with those that are there, of none and the eight to a neighbour.

    And how much; (0, 0) and 0 where names are no whole places. With no step, zeros before numbers do not count.
    """
    found = pd.Series(counted, dtype=str).str.extract(r"^(-?\d{1,6})x(-?\d{1,6})$").astype(float)
    if found.isna().to_numpy().any():
        return (0, 0), 0
    x, y = found.to_numpy(dtype=int).T
    counts = {
        (dx, dy): sum(f"{one}x{other}" in there for one, other in zip(x + dx, y + dy, strict=True))
        for dx, dy in product((0, -1, 1), repeat=2)
    }
    best = max(counts, key=counts.__getitem__)
    return best, counts[best]


def _exchanged(name: str) -> str:
    x, sign, y = str(name).partition("x")
    return f"{y}{sign}{x}"
