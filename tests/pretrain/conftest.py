"""A tiny her2st-shaped data set whose features carry some of its expression."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feature_meta import feature_meta
from PIL import Image

from hage_transfer.data.feature_file import write_features
from hage_transfer.pretrain.config import PretrainConfig

SECTIONS = ("A2", "A3", "B1", "B2")
N_SPOTS, N_GENES, N_FEATURES = 64, 40, 12
GENES = [f"GENE{number}" for number in range(N_GENES)]


def write_section(root: Path, features: Path, name: str, *, seed: int) -> None:
    """One section: two hidden programs drive the counts, and the features show them under noise."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(N_SPOTS))
    x, y = (part.ravel() + 1 for part in np.meshgrid(np.arange(side), np.arange(side)))
    program = rng.normal(size=(N_SPOTS, 2))
    loadings = np.random.default_rng(99).normal(size=(2, N_GENES))
    counts = rng.poisson(np.exp(1.0 + 0.7 * program @ loadings))
    spots = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
    (root / "ST-cnts").mkdir(parents=True, exist_ok=True)
    (root / "ST-spotfiles").mkdir(exist_ok=True)
    with gzip.open(root / "ST-cnts" / f"{name}.tsv.gz", "wt") as file:
        pd.DataFrame(counts, index=spots, columns=GENES).to_csv(file, sep="\t")
    pixels = {"pixel_x": 20.0 * x, "pixel_y": 20.0 * y}
    table = pd.DataFrame({"x": x, "y": y, "new_x": x, "new_y": y, **pixels, "selected": 1})
    table.to_csv(root / "ST-spotfiles" / f"{name}_selection.tsv", sep="\t", index=False)
    folder = root / "ST-imgs" / name[0] / name
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 200), "white").save(folder / "image.jpg")
    rows = np.concatenate([program + 0.3 * rng.normal(size=program.shape), rng.normal(size=(N_SPOTS, 10))], axis=1)
    meta = feature_meta(
        name, encoder_sha256="abc", patch_size_px=16, patch_size_level0_px=16, mpp_um_per_px=None, config_sha256="hash"
    )
    write_features(features / f"{name}.h5", rows.astype(np.float32), meta, keys=spots)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("her2st")
    for number, name in enumerate(SECTIONS):
        write_section(root / "data", root / "features", name, seed=number)
    (root / "panel.txt").write_text("\n".join(GENES))
    return root


@pytest.fixture
def data_root(tmp_path: Path, made_once: Path) -> Path:
    """Folder of the data set, a copy of one's own; features are in `features` beside it."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "data"


@pytest.fixture
def config(data_root: Path) -> PretrainConfig:
    """Two folds by patient, two trials, sizes that train in a second; on data of one's own."""
    return _config(data_root.parent)


@pytest.fixture(scope="session")
def shared_config(made_once: Path) -> PretrainConfig:
    """The same on the data that all share, for what changes none of them."""
    return _config(made_once)


def _config(root: Path) -> PretrainConfig:
    return PretrainConfig.model_validate(
        {
            "data": {"root": root / "data", "sections": SECTIONS},
            "features": root / "features",
            "genes": {"panel": root / "panel.txt", "embedding_dim": 8},
            "model": {"embed_dim": 32, "n_heads": 4},
            "clusters": {"k1": 6},
            "train": {"epochs": 12, "batch_size": 32, "learning_rate": 3e-3},
            "trials": 2,
        }
    )
