from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections

SPOT_COLUMNS = ["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"]


@pytest.fixture(scope="session")
def real_sections(real_data) -> list[ad.AnnData]:
    """The 32 real her2st sections."""
    return read_sections(SectionsSettings(root=real_data / "her2st" / "data"))


@pytest.fixture(scope="session")
def make_section() -> Callable[..., ad.AnnData]:
    """Builds a section in the one form from counts; genes are G0, G1, ... unless named."""

    def make(counts, *, name="A2", genes=None, coords=None, image="", mpp=float("nan")) -> ad.AnnData:
        counts = np.asarray(counts, dtype=np.float32)
        genes = [f"G{j}" for j in range(counts.shape[1])] if genes is None else list(genes)
        section = ad.AnnData(
            sp.csr_matrix(counts),
            obs=pd.DataFrame({"section": name, "patient": name[0]}, index=[f"{i}x1" for i in range(len(counts))]),
            var=pd.DataFrame(index=genes),
        )
        section.obsm["spatial"] = (
            np.c_[np.arange(len(counts)) * 10.0, np.zeros(len(counts))] if coords is None else np.asarray(coords, float)
        )
        section.uns["section"] = {
            "name": name,
            "patient": name[0],
            "image_path": str(image),
            "mpp_um_per_px": mpp,
            "mismatches": {},
        }
        return section

    return make


@pytest.fixture
def write_counts() -> Callable[..., Path]:
    """Writes a count table: rows of {spot: values}, the unnamed corner first; gzipped where the name ends in .gz."""

    def write(path: Path, genes: list[str], rows: dict[str, list]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows.values(), index=list(rows), columns=genes).to_csv(path, sep="\t")
        return path

    return write


@pytest.fixture
def write_spots() -> Callable[..., Path]:
    """Writes a spot file of (x, y, pixel_x, pixel_y, selected) rows."""

    def write(path: Path, spots: list[tuple]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(x, y, x, y, px, py, selected) for x, y, px, py, selected in spots]
        pd.DataFrame(rows, columns=SPOT_COLUMNS).to_csv(path, sep="\t", index=False)
        return path

    return write


@pytest.fixture
def her2st_root(tmp_path, write_counts, write_spots) -> Path:
    """Sections A1, A2 and B1 of four spots and three genes in the her2st layout; A2 alone has an image, 80 x 60 px."""
    root = tmp_path / "her2st"
    for name in ("A1", "A2", "B1"):
        rows = {"1x1": [1, 0, 2], "2x1": [0, 0, 31], "1x2": [4, 5, 0], "2x2": [0, 7, 120]}
        write_counts(root / "ST-cnts" / f"{name}.tsv.gz", ["ERBB2", "CD74", "FASN"], rows)
        spots = [(x, y, 20.0 * x, 20.0 * y + 0.5, 1) for y in (1, 2) for x in (1, 2)]
        write_spots(root / "ST-spotfiles" / f"{name}_selection.tsv", spots)
    folder = root / "ST-imgs" / "A" / "A2"
    folder.mkdir(parents=True)
    Image.new("RGB", (80, 60), (200, 150, 200)).save(folder / "he.jpg")
    return root
