"""`hage heatmap` on a run of CLAM's own files, which hold coords and not how large a tile is."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from hage_transfer.cli.main import run

SIDE, N_TILES = 16, 6
COORDS = np.stack([np.arange(N_TILES) % 3, np.arange(N_TILES) // 3], axis=1) * SIDE


@pytest.fixture
def made(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "clam" / "h5_files").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    lines = ["slide,label"]
    for number in range(6):
        with h5py.File(tmp_path / "clam" / "h5_files" / f"s{number}.h5", "w") as file:
            file["features"] = rng.normal(size=(N_TILES, 4)).astype(np.float32)
            file["coords"] = COORDS
        Image.new("RGB", (3 * SIDE, 2 * SIDE), "white").save(tmp_path / "images" / f"s{number}.png")
        lines.append(f"s{number},{'ab'[number % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    tree = {
        "data": {"layout": "features", "root": str(tmp_path / "clam"), "labels": str(tmp_path / "labels.csv")},
        "split": {"folds": 2, "by_group": False},
        "model": {"hidden_dim": 4, "attention_dim": 2},
        "train": {"epochs": 1, "validation": 0},
    }
    (tmp_path / "mil.yaml").write_text(yaml.safe_dump(tree))
    assert run(["mil", str(tmp_path / "mil.yaml"), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    return tmp_path


def heatmap(made, *arguments):
    return run(["heatmap", str(made / "run"), "--slide", "s0", "--device", "cpu", *map(str, arguments)])


def test_tables_need_no_size_of_a_tile(made):
    assert heatmap(made) == 0
    tiles = pd.read_csv(made / "run" / "heatmaps" / "frozen" / "s0" / "tiles.csv")
    assert tiles[["x_px", "y_px"]].to_numpy().tolist() == COORDS.tolist()
    assert "width_px" not in tiles


def test_pictures_need_one_and_say_how_to_record_it(made, capsys):
    assert heatmap(made, "--slides", made / "images") == 2
    assert "--patch-size-level0" in " ".join(capsys.readouterr().err.split())


def test_patches_beside_the_features_say_it(made):
    (made / "clam" / "patches").mkdir()
    for number in range(6):
        with h5py.File(made / "clam" / "patches" / f"s{number}.h5", "w") as file:
            file.create_dataset("coords", data=COORDS).attrs.update({"patch_size": SIDE, "patch_level": 0})
    assert heatmap(made, "--slides", made / "images") == 0
    assert (made / "run" / "heatmaps" / "frozen" / "s0" / "attention.geojson").is_file()
