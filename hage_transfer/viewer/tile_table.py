"""The tiles or spots of a slide that have values: where they lie, their columns, and one gene at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32

from hage_transfer.data.expression import UNITS
from hage_transfer.data.h5_file import open_h5
from hage_transfer.errors import DataError
from hage_transfer.running.file_stamp import stamp_in_url

_PLACE = ("x_px", "y_px", "width_px", "height_px")
_SCORES = ("pcc", "heldout_pcc", "validation_pcc")
_READ_ROWS = 2**14
_ABSENT = "no such file; make it again"


@dataclass(frozen=True, kw_only=True)
class TileTable:
    """What `tiles.h5ad` of `hage heatmap` and the files of `hage predict` hold, without the expression.

    Attributes:
        path: the file.
        stamp: of the file, taken before it was read.
        boxes: left, top, width, height at level 0.
        shape: `square` (tiles) or `circle` (spots).
        columns: numbers of each tile, by name.
        genes: whose expression is predicted.
        scores: each gene's PCC where the file has one.
        score_name: what ``scores`` are; empty where there are none.
        unit: of the expression, in words; empty where the file does not say.
        cautions: what to keep in mind when these values are read.
    """

    path: Path
    stamp: str
    boxes: Float32[np.ndarray, "tile 4"]
    shape: str
    columns: dict[str, Float32[np.ndarray, " tile"]]
    genes: tuple[str, ...]
    scores: Float32[np.ndarray, " gene"] | None
    score_name: str
    unit: str = ""
    cautions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes)


def read_tile_table(path: Path) -> TileTable:
    """Reads all but the expression.

    Raises:
        DataError: missing, damaged, or without the tiles' places.
    """
    import anndata as ad

    taken = stamp_in_url(path)
    with open_h5(path, absent=_ABSENT) as file:
        obs, var = ad.io.read_elem(file["obs"]), ad.io.read_elem(file["var"])
        placed = all(name in obs for name in _PLACE)
        if not placed and "uns/spatial" not in file:
            missing = ", ".join(name for name in _PLACE if name not in obs)
            raise DataError(f"{path}: obs has no {missing}; `explain` and `predict` write files to view")
        spots, shape = (None, "square") if placed else _spots(file)
        told = {
            key: ad.io.read_elem(file[f"uns/hage/{key}"]) for key in ("cautions", "preset") if f"uns/hage/{key}" in file
        }
    boxes = obs[list(_PLACE)].to_numpy(np.float32) if spots is None else spots
    numbers = obs.select_dtypes(["number", "bool"]).drop(columns=list(_PLACE), errors="ignore")
    score_name = next((name for name in _SCORES if name in var), "")
    return TileTable(
        path=path,
        stamp=taken,
        boxes=boxes,
        shape=shape,
        columns={str(name): numbers[name].to_numpy(np.float32) for name in numbers if name != "tile"},
        genes=tuple(var.index.astype(str)),
        scores=var[score_name].to_numpy(np.float32) if score_name else None,
        score_name=score_name,
        unit=UNITS.get(str(told.get("preset")), ""),
        cautions=tuple(map(str, told.get("cautions", ()))),
    )


def gene_values(table: TileTable, genes: Sequence[str]) -> Float32[np.ndarray, " tile"]:
    """Predicted expression of one gene, or the mean over several; the file's other columns are not kept.

    Raises:
        KeyError: not one of ``table.genes``.
        DataError: the file is gone or damaged.
    """
    import anndata as ad

    place = {name: column for column, name in enumerate(table.genes)}
    columns = sorted(place[gene] for gene in genes)
    with open_h5(table.path, absent=_ABSENT) as file:
        stored = file["X"]
        if isinstance(stored, h5py.Group):
            return np.asarray(ad.io.sparse_dataset(stored)[:, columns].mean(axis=1), dtype=np.float32).ravel()
        values = np.empty(len(table), np.float32)
        for start in range(0, len(values), _READ_ROWS):
            values[start : start + _READ_ROWS] = stored[start : start + _READ_ROWS, columns].mean(axis=1)
        return values


def _spots(file: h5py.File) -> tuple[Float32[np.ndarray, "tile 4"], str]:
    """Boxes of a prediction's rows, whose centres and diameter it holds, and their shape."""
    import anndata as ad

    name, shape = (str(ad.io.read_elem(file["uns/hage"][key])) for key in ("name", "shape"))
    side = float(file[f"uns/spatial/{name}/scalefactors/spot_diameter_fullres"][()])
    centres = np.asarray(file["obsm/spatial"], dtype=np.float64)
    return np.column_stack([centres - side / 2, np.full((len(centres), 2), side)]).astype(np.float32), shape
