"""A folder in which the documentation's commands run: tiny data behind /data, short recipes, a few finished runs."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from hage_transfer.cli.main import run
from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.demo.patches import write_patches
from hage_transfer.demo.programs import SYMBOLS
from hage_transfer.demo.sections import write_sections
from hage_transfer.demo.slides import write_slides

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ("B1", "B4", "C2", "C4")
SHORT = {
    "pretrain": {
        "data": {"spot_spacing_um": 75},
        "encoder": {"batch_size": 4},
        "genes": {"n_top": 60, "min_sections": 1, "min_spots": 1, "embedding_dim": 8},
        "model": {"embed_dim": 16, "n_heads": 2},
        "clusters": {"k1": 3},
        "train": {"epochs": 1},
        "trials": 1,
    },
    "probes": {
        "encoder": {"batch_size": 4},
        "split": {"folds": 2},
        "train": {"epochs": 1},
        "learning_curve": {"shares": [], "draws": 1},
        "cross_checks": {"classifiers": ["class_mean"]},
    },
    "mil": {
        "encoder": {"batch_size": 4},
        "split": {"folds": 2},
        "model": {"hidden_dim": 8, "attention_dim": 8},
        "train": {"epochs": 1, "min_epochs": 0, "validation": 0},
    },
}
"""What is changed in each recipe so that it runs in a second."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, recipes and the runs that the pages start from."""
    place = tmp_path_factory.mktemp("docs")
    _write_recipes(place / "configs")
    _write_data(place / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        data = place / "data"  # as the pages' commands will have it
        slides = ["--set", f"data.root={data}/tcga_brca", "--set", f"data.labels={data}/tcga_brca/labels.csv"]
        st = ["configs/pretrain/her2st.yaml", "--set", f"data.root={data}/her2st/data"]
        embedded = ["--set", "encoder.name=embedded"]
        for command in (
            ["encode", "st", *st],
            ["pretrain", *st, "--out", "runs/her2st"],
            [
                "probe",
                "configs/probes/pcam.yaml",
                "--set",
                f"data.root={data}/pcam",
                *embedded,
                "--select",
                "--out",
                "runs/probe-pcam",
            ],
            ["mil", "configs/mil/tcga_brca.yaml", *slides, *embedded, "--out", "runs/tcga"],
            ["convert", "features/tcga_brca/features", "--to", "clam", "--out", "data/clam"],
        ):
            assert run(command) == 0, command
    _forget_encoder(place / "data/clam")
    shutil.copytree(place / "runs/her2st", place / "runs/cscc")
    demo = place / "runs" / "demo"  # what the tutorial looks at, by its names
    shutil.copytree(place / "runs/her2st", demo / "pretrain")
    shutil.copytree(place / "runs/probe-pcam", demo / "probe")
    shutil.copytree(place / "features/her2st", demo / "features/st")
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Moves to a fresh copy of the folder; returns what puts its paths in the place of /data and /models."""
    for name in ("configs", "features", "runs"):
        shutil.copytree(finished / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return lambda text: re.sub(r"(?<![\w/])/data/", f"{finished}/data/", text)


def _write_recipes(folder: Path) -> None:
    for path in (ROOT / "configs").rglob("*.yaml"):
        task = path.parent.name
        tree = yaml.safe_load(path.read_text())
        copy = folder / path.relative_to(ROOT / "configs")
        copy.parent.mkdir(parents=True, exist_ok=True)
        short = _merged(tree, SHORT.get(task, {}))
        if task == "mil":  # small slides want small tiles, and CLAM's least piece of tissue is larger than they are
            short["data"].pop("tissue", None)
            short["data"]["tile_level0_px" if "tile_level0_px" in tree["data"] else "tile_px"] = 128
        copy.write_text(yaml.safe_dump(short))


def _merged(tree: dict, change: dict) -> dict:
    return tree | {
        key: _merged(tree.get(key, {}), value) if isinstance(value, dict) else value for key, value in change.items()
    }


def _write_data(data: Path) -> None:
    her2st = data / "her2st/data"
    write_sections(her2st, seed=0, names=SECTIONS, side_px=750)
    write_patches(data / "pcam", seed=0, splits={"train": 4, "valid": 2, "test": 2}, per_slide=6)
    labels = _write_tcga(data / "tcga_brca")
    labels.to_csv(data / "labels.csv", index=False)
    sites = ["north" if row // 4 % 2 else "south" for row in range(len(labels))]
    labels.assign(site=sites).to_csv(data / "centres.csv", index=False)
    published = labels.rename(columns={"slide": "slide_id", "label": "oncotree_code", "group": "case_id"})
    published.to_csv(data / "tcga_brca_subset.csv", index=False)
    shutil.copytree(data / "tcga_brca", data / "sln_breast/slides", ignore=shutil.ignore_patterns("*.csv"))
    shutil.copytree(data / "sln_breast/slides", data / "new_slides")
    target = labels.assign(target=(labels["label"] == "ILC").astype(int))[["slide", "target"]]
    target.to_csv(data / "sln_breast/target.csv", index=False)
    _write_skin(data / "skincancer")
    _write_genes(data / "genes")
    _write_cscc(her2st, data / "GSE144240")
    sections = read_sections(SectionsSettings(root=her2st, spot_spacing_um=75))
    for section in sections:
        image = next((her2st / "ST-imgs").rglob(f"{section.uns['section']['name']}_HE.jpg"))
        _write_visium(section, data / "visium" / section.uns["section"]["name"], image)
        _write_h5ad(section, data / "h5ad", image)
    rows = "".join(f"{name},{name[0]}\n" for name in SECTIONS)
    (data / "visium/patients.csv").write_text(f"section,patient\n{rows}")


def _write_tcga(folder: Path) -> pd.DataFrame:
    """Slides with TCGA's names, two of each patient, and their label table."""
    write_slides(folder, seed=0, n_slides=8, side_px=640)
    labels = pd.read_csv(folder / "labels.csv").replace({"quiet": "IDC", "activated": "ILC"})
    for row, old in enumerate(labels["slide"]):
        patient = f"TCGA-A{row // 4 + 1}-A0T{row // 2}"
        name = f"{patient}-01Z-00-DX{row % 2 + 1}"
        (folder / f"{old}.tif").rename(folder / f"{name}.tif")
        labels.loc[row, ["slide", "group"]] = [name, patient]
    labels.to_csv(folder / "labels.csv", index=False)
    return labels


def _forget_encoder(clam: Path) -> None:
    """CLAM's own files record no encoder, where those that this project writes in its form do."""
    for path in clam.rglob("*.h5"):
        with h5py.File(path, "r+") as file:
            for holder in (file, *file.values()):
                for name in list(holder.attrs):
                    del holder.attrs[name]


def _write_skin(root: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        kind = ("tumor_bcc", "nontumor_dermis", "nontumor_epidermis")[number % 3]
        name = f"data/tiles/{kind}/{number}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        part = ("Train", "Validation", "Test")[number // 3 % 3]
        rows.append({"file": name, "class": kind, "case": f"p{number // 3}", "set": part})
    pd.DataFrame(rows).to_csv(root / "data/tiles-v2.csv", index=False)


def _write_genes(folder: Path) -> None:
    folder.mkdir()
    (folder / "panel.txt").write_text("\n".join(SYMBOLS[:40]))
    vectors = np.random.default_rng(0).normal(size=(len(SYMBOLS), 8))
    lines = [f"{gene}\t{' '.join(f'{v:.4f}' for v in row)}" for gene, row in zip(SYMBOLS, vectors, strict=True)]
    (folder / "gene2vec.txt").write_text("\n".join(lines))


def _write_cscc(her2st: Path, root: Path) -> None:
    root.mkdir()
    for name, new in zip(SECTIONS, ("P2_ST_rep1", "P2_ST_rep2", "P5_ST_rep1", "P5_ST_rep2"), strict=True):
        shutil.copy(her2st / f"ST-cnts/{name}.tsv.gz", root / f"{new}_stdata.tsv.gz")
        shutil.copy(her2st / f"ST-spotfiles/{name}_selection.tsv", root / f"spot_data-selection-{new}.tsv")
        shutil.copy(next((her2st / "ST-imgs").rglob(f"{name}_HE.jpg")), root / f"{new}.jpg")


def _write_visium(section, folder: Path, image: Path) -> None:
    (folder / "spatial").mkdir(parents=True)
    counts = section.X.T.tocsc()
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
        matrix = file.create_group("matrix")
        for part in ("data", "indices", "indptr"):
            matrix[part] = getattr(counts, part)
        matrix["shape"] = counts.shape
        matrix["barcodes"] = np.array([name.encode() for name in section.obs_names])
        features = matrix.create_group("features")
        features["id"] = np.array([f"ENSG{number:011d}".encode() for number in range(section.n_vars)])
        features["name"] = np.array([name.encode() for name in section.var_names])
        features["feature_type"] = np.array([b"Gene Expression"] * section.n_vars)
        features["genome"] = np.array([b"GRCh38"] * section.n_vars)
    lines = ["barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres"]
    for row, (name, (x, y)) in enumerate(zip(section.obs_names, section.obsm["spatial"], strict=True)):
        lines.append(f"{name},1,{row},0,{y},{x}")
    (folder / "spatial/tissue_positions.csv").write_text("\n".join(lines))
    (folder / "spatial/scalefactors_json.json").write_text(json.dumps({"spot_diameter_fullres": 130.0}))
    shutil.copy(image, folder / "image.jpg")


def _write_h5ad(section, folder: Path, image: Path) -> None:
    folder.mkdir(exist_ok=True)
    name = section.uns["section"]["name"]
    plain = section.copy()
    plain.obs["section"], plain.obs["patient"] = name, name[0]
    del plain.uns["section"]
    plain.write_h5ad(folder / f"{name}.h5ad")
    shutil.copy(image, folder / f"{name}.jpg")
