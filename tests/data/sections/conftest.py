"""Writers of small sections in every format, with the same counts: 4 x 5 spots 100 um apart, 0.5 um per px."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections

MPP, PITCH_PX = 0.5, 200.0
ROWS, COLUMNS, GENES = 4, 5, 6
POSITION_COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


@dataclass
class Made:
    """One section's numbers, and how to write them."""

    pitch_px: float = PITCH_PX
    square: bool = False
    table: pd.DataFrame = field(init=False)
    counts: sp.csr_matrix = field(init=False)

    def __post_init__(self) -> None:
        row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
        if self.square:
            array, x, y = (row, column), column * 1.0, row * 1.0
        else:
            array, x, y = (row, 2 * column + row % 2), column + row % 2 / 2, row * np.sqrt(0.75)
        self.table = pd.DataFrame(
            {
                "barcode": [f"{'ACGT'[i % 4]}{i:015d}-1".replace("0", "A") for i in range(len(row))],
                "in_tissue": 1,
                "array_row": array[0],
                "array_col": array[1],
                "pxl_row_in_fullres": y * self.pitch_px + 150.0,
                "pxl_col_in_fullres": x * self.pitch_px + 150.0,
            }
        )
        self.counts = sp.csr_matrix(np.random.default_rng(0).poisson(3.0, (len(row), GENES)) + 1)

    @property
    def genes(self) -> tuple[list[str], list[str]]:
        return [f"GENE{j}" for j in range(GENES)], [f"ENSG{j:011d}" for j in range(GENES)]

    @property
    def coords(self) -> np.ndarray:
        return self.table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()

    @property
    def size_px(self) -> tuple[int, int]:
        return tuple(int(side) + 150 for side in self.coords.max(axis=0))

    def image(self, path: Path, *, mpp: float | None = None, scale: float = 1.0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = tuple(max(1, round(side * scale)) for side in self.size_px)
        Image.new("RGB", size, (200, 150, 190)).save(path, **({} if mpp is None else {"dpi": (25400 / mpp,) * 2}))
        return path

    def h5(self, path: Path, *, types: list[str] | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        matrix, (symbols, ids) = sp.csc_matrix(self.counts.T), self.genes
        with h5py.File(path, "w") as file:
            group = file.create_group("matrix")
            group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr
            group["shape"] = np.array(matrix.shape)
            group["barcodes"] = np.array(self.table["barcode"].tolist(), "S")
            features = group.create_group("features")
            features["id"], features["name"] = np.array(ids, "S"), np.array(symbols, "S")
            features["feature_type"] = np.array(types or ["Gene Expression"] * GENES, "S")
            features["genome"] = np.array(["GRCh38"] * GENES, "S")
        return path

    def mtx(self, folder: Path, *, prefix: str = "", features: str = "features.tsv", packed: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        symbols, ids = self.genes
        lines = [
            f"{i}\t{s}" + ("\tGene Expression" if features == "features.tsv" else "")
            for i, s in zip(ids, symbols, strict=True)
        ]
        opened, end = (gzip.open, ".gz") if packed else (open, "")
        with opened(folder / f"{prefix}matrix.mtx{end}", "wb") as file:
            scipy.io.mmwrite(file, self.counts.T.tocoo())
        for name, rows in (("barcodes.tsv", self.table["barcode"]), (features, lines)):
            with opened(folder / f"{prefix}{name}{end}", "wt") as file:
                file.write("\n".join(rows) + "\n")

    def spatial(self, folder: Path, *, prefix: str = "", form: str = "tissue_positions.csv", **factors: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{prefix}{form}"
        if form.endswith("parquet"):
            self.table.to_parquet(path, index=False)
        else:
            self.table.to_csv(path, index=False, header="list" not in form)
        facts = {"spot_diameter_fullres": 0.65 * self.pitch_px, "tissue_hires_scalef": 0.5, **factors}
        (folder / f"{prefix}scalefactors_json.json").write_text(json.dumps(facts))

    def anndata(self) -> ad.AnnData:
        symbols, ids = self.genes
        section = ad.AnnData(
            self.counts.copy(),
            obs=self.table.set_index("barcode")[["in_tissue", "array_row", "array_col"]],
            var=pd.DataFrame({"gene_ids": ids}, index=symbols),
        )
        section.obsm["spatial"] = self.coords
        section.uns["spatial"] = {"lib": {"scalefactors": {"spot_diameter_fullres": 0.65 * self.pitch_px}}}
        return section


def visium(root: Path) -> Path:
    made = Made()
    made.h5(root / "S1" / "filtered_feature_bc_matrix.h5")
    made.spatial(root / "S1" / "spatial")
    made.image(root / "S1" / "image.png")
    return root


def visium_list(root: Path) -> Path:
    made = Made()
    made.h5(root / "S1" / "outs" / "filtered_feature_bc_matrix.h5")
    made.spatial(root / "S1" / "outs" / "spatial", form="tissue_positions_list.csv")
    made.image(root / "S1" / "outs" / "he.tif")
    return root


def matrix_market(root: Path) -> Path:
    made = Made()
    made.mtx(root / "S1" / "filtered_feature_bc_matrix")
    made.spatial(root / "S1" / "spatial")
    made.image(root / "S1" / "image.png")
    return root


def geo_flat(root: Path) -> Path:
    made = Made()
    made.mtx(root, prefix="GSM42_S1_", features="genes.tsv", packed=False)
    made.spatial(root, prefix="GSM42_S1_", form="tissue_positions_list.csv")
    made.image(root / "GSM42_S1_he.png")
    return root


def raw_alone(root: Path) -> Path:
    made = Made()
    made.h5(root / "S1" / "raw_feature_bc_matrix.h5")
    made.spatial(root / "S1" / "spatial")
    made.image(root / "S1" / "image.png")
    return root


def visium_hd(root: Path) -> Path:
    for um in (2, 8, 16):
        made = Made(pitch_px=um / MPP, square=True)
        folder = root / "S1" / "outs" / "binned_outputs" / f"square_{um:03d}um"
        made.h5(folder / "filtered_feature_bc_matrix.h5")
        made.spatial(
            folder / "spatial",
            form="tissue_positions.parquet",
            microns_per_pixel=MPP,
            bin_size_um=um,
            spot_diameter_fullres=um / MPP,
        )
    made.image(root / "S1" / "image.tif")
    return root


def h5ad(root: Path) -> Path:
    made = Made()
    root.mkdir(parents=True, exist_ok=True)
    made.anndata().write_h5ad(root / "S1.h5ad")
    made.image(root / "S1.png")
    return root


def hest(root: Path) -> Path:
    made = Made()
    for folder in ("st", "metadata"):
        (root / folder).mkdir(parents=True)
    section = made.anndata()
    section.uns["spatial"] = {"ST": section.uns["spatial"].pop("lib")}
    section.write_h5ad(root / "st" / "S1.h5ad")
    made.image(root / "wsis" / "S1.tif", mpp=MPP)
    facts = {
        "patient": "Patient 1",
        "dataset_title": "A study",
        "st_technology": "Visium",
        "inter_spot_dist": 100.0,
        "spot_diameter": 55.0,
        "pixel_size_um_estimated": MPP,
        "fullres_px_width": made.size_px[0],
        "fullres_px_height": made.size_px[1],
    }
    (root / "metadata" / "S1.json").write_text(json.dumps(facts))
    return root


def xenium(root: Path) -> Path:
    """Cells at the centres of bins of 100 um; the H&E is 0.5 um/px, turned by 90 degrees and moved."""
    made = Made(square=True)
    folder = root / "S1"
    made.h5(folder / "cell_feature_matrix.h5")
    row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    cells = pd.DataFrame(
        {"cell_id": made.table["barcode"], "x_centroid": column * 100.0 + 50, "y_centroid": row * 100.0 + 50}
    )
    cells.to_parquet(folder / "cells.parquet", index=False)
    scale = MPP / 0.2125
    to_morphology = np.array([[0, scale, -200.0], [-scale, 0, 3000.0], [0, 0, 1]])  # of pixels of the H&E
    np.savetxt(folder / "S1_he_imagealignment.csv", to_morphology, delimiter=",")
    Image.new("RGB", (1500, 1600), (200, 150, 190)).save(folder / "S1_he_image.tif")
    Image.new("L", (10, 10)).save(folder / "morphology_mip.ome.tif")
    return root


def her2st(root: Path) -> Path:
    return _text(root, "ST-cnts/A1.tsv", "ST-spotfiles/A1_selection.tsv", "ST-imgs/A/A1/he.jpg")


def gse144240(root: Path) -> Path:
    name = "P2_ST_rep1"
    return _text(root, f"{name}_stdata.tsv", f"spot_data-selection-{name}.tsv", f"{name}.jpg")


def _text(root: Path, counts: str, spots: str, image: str) -> Path:
    made = Made(pitch_px=2 * PITCH_PX, square=True)
    row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    for name in (counts, spots, image):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    names = [f"{x + 3}x{y + 9}" for x, y in zip(column, row, strict=True)]
    pd.DataFrame(made.counts.toarray(), index=names, columns=made.genes[0]).to_csv(root / counts, sep="\t")
    listed = pd.DataFrame({"x": column + 3.02, "y": row + 8.97, "new_x": column, "new_y": row})
    listed[["pixel_x", "pixel_y"]] = made.coords
    listed.assign(selected=1).to_csv(root / spots, sep="\t", index=False)
    made.image(root / image)
    return root


FORMATS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "visium": ("space_ranger", visium),
    "visium v1 in outs": ("space_ranger", visium_list),
    "matrix market": ("space_ranger", matrix_market),
    "geo, flat": ("space_ranger", geo_flat),
    "raw matrix alone": ("space_ranger", raw_alone),
    "visium hd": ("space_ranger", visium_hd),
    "h5ad": ("anndata", h5ad),
    "hest": ("hest", hest),
    "xenium": ("xenium", xenium),
    "her2st": ("her2st", her2st),
    "gse144240": ("gse144240", gse144240),
}


@pytest.fixture(scope="session")
def made() -> type[Made]:
    return Made


@pytest.fixture(params=FORMATS)
def any_format(request, tmp_path) -> tuple[str, str, Path]:
    """Each format's name, its layout, and a root that holds one section of it."""
    layout, write = FORMATS[request.param]
    return request.param, layout, write(tmp_path / "root")


@pytest.fixture
def write_format(tmp_path) -> Callable[[str], Path]:
    """Writes a root of a format by its name."""
    return lambda name: FORMATS[name][1](tmp_path / "root")


@pytest.fixture(scope="session")
def formats() -> dict[str, tuple[str, Callable[[Path], Path]]]:
    return FORMATS


@pytest.fixture
def read(tmp_path):
    """Writes an h5ad section, or several files by name, and reads them."""

    def read(section, *, name="S1", **settings):
        tmp_path.joinpath("d").mkdir(exist_ok=True)
        section.write_h5ad(tmp_path / "d" / f"{name}.h5ad")
        return read_sections(SectionsSettings(layout="anndata", root=tmp_path / "d", **settings))

    return read
