"""`hage tissue` and `hage encode slides` over DICOM: one row, one feature file and one fold place a slide."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest
import yaml

from hage_transfer.cli.main import run
from hage_transfer.data.feature_file import read_features

write_series = runpy.run_path(str(Path(__file__).parents[1] / "slides" / "dicom_writer.py"))["write_series"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = np.full((600, 600, 3), 240, np.uint8)
    grain = np.random.default_rng(0).integers(-40, 40, (472, 472, 1))
    picture[64:-64, 64:-64] = np.clip(np.array([200, 110, 165]) + grain, 0, 255)
    write_series(tmp_path / "slides" / "one", picture, mpp_um_per_px=0.9)
    data = {"layout": "slides", "root": "slides", "labels": "l.csv", "mpp_um_per_px": 0.9, "tile_px": 128}
    config = {"data": data, "features": "f", "encoder": {"name": "embedded", "runtime": "torch"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def rows_of(path):
    with path.open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_a_dicom_slide_is_one_slide_from_its_folder_to_its_features(folder):
    (folder / "l.csv").write_text("slide,label\none,x\n")
    assert run(["encode", "slides", "c.yaml", "--device", "cpu"]) == 0
    (row,) = rows_of(folder / "f" / "status.csv")
    assert (row["slide"], row["status"], row["mpp_um_per_px"], row["mpp_source"]) == (
        "one",
        "done",
        "0.9",
        "its metadata",
    )
    assert len(read_features(folder / "f" / "features" / "one.h5")) == int(row["tiles"]) > 0
    assert (folder / "f" / "outlines" / "one.png").is_file()
    for given in (["slides"], ["slides/one"], ["c.yaml"]):
        assert run(["tissue", *given, "--out", "t", "--set", "data.tile_px=128"]) == 0
        assert [row["slide"] for row in rows_of(folder / "t" / "tissue.csv")] == ["one"]


@pytest.mark.parametrize(
    "command", [["encode", "slides", "c.yaml", "--device", "cpu"], ["tissue", "c.yaml", "--out", "t"]]
)
def test_a_table_of_instances_is_refused_since_they_are_one_slide(folder, capsys, command):
    names = sorted(path.name for path in (folder / "slides" / "one").iterdir())
    (folder / "l.csv").write_text("slide,label\n" + "".join(f"one/{name},x\n" for name in names))
    assert run(command) == 2
    assert f"{len(names)} instances of one DICOM slide" in capsys.readouterr().err
