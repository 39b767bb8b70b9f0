"""Xenium output: cells by genes, laid into square bins that serve as spots, on an H&E image that is aligned to them.

A section is a folder (the root itself, `root/<section>/`, `root/<section>/outs/`) with `cell_feature_matrix.h5` (or the
folder of that name with `matrix.mtx.gz`), `cells.parquet` or `cells.csv.gz`, the H&E image, and the alignment that
Xenium Explorer exports: a csv of 3 x 3 numbers (`*_he_imagealignment.csv`) that takes pixels of the H&E to pixels of
the morphology image, which are 0.2125 um wide (`experiment.xenium` says so where it is there).
"""

import io
import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

from hage_transfer.config import SectionsSettings
from hage_transfer.damage import reading
from hage_transfer.data.sections.form import RawSection
from hage_transfer.data.sections.image_files import images_in, the_image
from hage_transfer.data.sections.matrix_10x import MatrixFiles, mtx_files, read_matrix
from hage_transfer.data.sections.patients import listed_patient
from hage_transfer.data.sections.resolution import Candidate
from hage_transfer.data.sections.tables import as_text, numbers_of, positive_fact, read_bytes, read_facts, read_table
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

MATRIX = "cell_feature_matrix"
CELLS = ("cells.parquet", "cells.csv", "cells.csv.gz")
COLUMNS = ("cell_id", "x_centroid", "y_centroid")
MORPHOLOGY_UM_PER_PX = 0.2125
USUAL_BIN_UM = 100.0
_LEAST_COMMON, _STRETCHED = 0.5, 1.05
_PATTERNS = (f"{MATRIX}*", f"*/{MATRIX}*", f"*/outs/{MATRIX}*")


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every section under the root and its folder, sorted; one in the root itself is named as the root's folder."""
    root = settings.root
    folders = {path.parent for pattern in _PATTERNS for path in root.glob(pattern) if _matrix(path.parent) is not None}
    named = {
        (folder.resolve().parent if folder.name == "outs" else folder.resolve()).name: folder for folder in folders
    }
    return {name: named[name] for name in sorted(named)}


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section from its folder.

    Raises:
        DataError: matrix, cells or, where there is an image, its alignment missing or not in their form.
    """
    matrix = _matrix(path)
    cells = next((path / file for file in CELLS if (path / file).is_file()), None)
    if matrix is None or cells is None:
        raise DataError(f"{path}: no {' or '.join(CELLS)}, so the cells have no positions")
    counted, genes = read_matrix(matrix)
    rows, centres_um = _centres(counted, cells)
    bin_um = settings.bin_um or USUAL_BIN_UM
    bins, counts = _binned(centres_um, genes.counts[rows], bin_um)
    image = _image(path)
    to_image = np.eye(3) / MORPHOLOGY_UM_PER_PX if image is None else _um_to_image(path)
    mpp = 1 / math.sqrt(abs(np.linalg.det(to_image[:2, :2])))
    return RawSection(
        name=name,
        patient=listed_patient(settings.root, name) or name,
        path=cells,
        spots=[f"{x}x{y}" for x, y in bins],
        genes=genes.symbols,
        counts=counts,
        coords_px=_moved((bins + 0.5) * bin_um, to_image),
        image=image,
        resolutions=[] if image is None else [Candidate(mpp, "the H&E's alignment to Xenium's micrometres")],
        spot_diameter_um=bin_um,
        mismatches={"cells_without_position": len(counted) - len(rows), **genes.mismatches},
        gene_ids=genes.ids,
    )


def _matrix(folder: Path) -> Path | MatrixFiles | None:
    whole = folder / f"{MATRIX}.h5"
    return whole if whole.is_file() else mtx_files(folder / MATRIX)


def _centres(counted: list[str], path: Path) -> tuple[np.ndarray, Float[np.ndarray, "cell 2"]]:
    """Rows of the matrix whose cell has a position, and those, micrometres."""
    cells = read_table(path, "a csv of cells", COLUMNS)
    names = pd.Index(cells["cell_id"].map(as_text))
    centres = numbers_of(path, cells, COLUMNS[1:], lambda row: f"cell {names[row]}").to_numpy()
    if not names.is_unique:
        raise DataError(f"{path}: cell {names[names.duplicated()][0]} is listed more than once")
    place = names.get_indexer(pd.Index(counted))
    rows = np.flatnonzero(place >= 0)
    if len(rows) < _LEAST_COMMON * len(counted) or not len(rows):
        raise DataError(
            f"{path}: holds {len(rows)} of the {len(counted)} cells of {MATRIX}, which names them "
            f"{some(counted, 2)}, and this {some(list(names), 2)}; are they of the same section?"
        )
    return rows, centres[place[rows]]


def _binned(
    centres_um: Float[np.ndarray, "cell 2"], counts: "scipy.sparse.csr_matrix", bin_um: float
) -> "tuple[np.ndarray, scipy.sparse.csr_matrix]":
    """(column, row) of every bin that holds a cell, and the sums of its cells' counts."""
    places, of_cell = np.unique(np.floor(centres_um / bin_um).astype(np.int64), axis=0, return_inverse=True)
    to_bin = scipy.sparse.csr_matrix((np.ones(len(of_cell)), (of_cell.ravel(), np.arange(len(of_cell)))))
    return places, scipy.sparse.csr_matrix(to_bin @ counts)


def _image(folder: Path) -> Path | None:
    images = [path for path in images_in(folder) if "morphology" not in path.name.lower()]
    stained = [path for path in images if "he_image" in path.name.lower()]
    return the_image(
        stained or images, str(folder), remedy="name the H&E image.<ending>; morphology images are passed over"
    )


def _um_to_image(folder: Path) -> Float[np.ndarray, "3 3"]:
    """Takes (x, y, 1) in Xenium's micrometres to level-0 pixels of the H&E."""
    files = sorted(path for path in folder.glob("*.csv") if "alignment" in path.name.lower())
    if len(files) != 1:
        raise DataError(
            f"{folder}: {len(files)} csv of the H&E's alignment ({some([path.name for path in files]) or 'none'}); "
            "wanted one, *_he_imagealignment.csv, as Xenium Explorer exports it, since it places the cells in the image"
        )
    path = files[0]
    if not read_bytes(path).strip():
        raise DataError(f"{path}: an empty file, wanted 3 rows of 3 numbers")
    with reading(path, "not a csv of 3 x 3 numbers"):
        text = io.BytesIO(read_bytes(path))
        matrix = np.loadtxt(text, delimiter=",", dtype=np.float64, encoding="utf-8-sig", ndmin=2)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not np.allclose(matrix[2], (0, 0, 1)):
        raise DataError(f"{path}: wanted 3 rows of 3 numbers, the last 0,0,1; this is {matrix.tolist()}")
    if abs(np.linalg.det(matrix)) < 1e-9:
        raise DataError(f"{path}: takes the whole image to a line, so it is no alignment: {matrix.tolist()}")
    stretched = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    if stretched[0] > _STRETCHED * stretched[1]:
        log.warning(
            "%s: stretches the image %.3g times as much one way as the other; patches are cut square all the same",
            path,
            stretched[0] / stretched[1],
        )
    morphology_um = _morphology_um_per_px(folder)
    return np.asarray(np.linalg.inv(matrix) / (morphology_um, morphology_um, 1.0))


def _morphology_um_per_px(folder: Path) -> float:
    path = folder / "experiment.xenium"
    if not path.is_file():
        return MORPHOLOGY_UM_PER_PX
    value = positive_fact(path, read_facts(path), "pixel_size") or MORPHOLOGY_UM_PER_PX
    if not 0.01 <= value <= 10:
        raise DataError(f"{path}: pixel_size is {value:g} um, wanted about {MORPHOLOGY_UM_PER_PX}")
    return value


def _moved(points: Float[np.ndarray, "spot 2"], matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "spot 2"]:
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2])
