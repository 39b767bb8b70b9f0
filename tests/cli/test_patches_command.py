"""`hage patches check|manifest`, and PCAM in its published form from the files to the selected encoder."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hage_transfer.cli.main import run
from hage_transfer.compare.records import MEAN
from hage_transfer.compare.results import Results

write_pcam = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "synthetic_pcam.py"))["write_pcam"]


@pytest.fixture
def images(tmp_path, monkeypatch):
    """24 images of 8 patients, in a manifest."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["path,label,group"]
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"p{number}.png")
        lines.append(f"p{number}.png,{'ab'[number % 2]},patient_{number // 3}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    tree = {"data": {"manifest": "manifest.csv"}, "split": {"folds": 3}}
    (tmp_path / "probe.yaml").write_text(yaml.safe_dump(tree))
    return tmp_path


def test_patches_check_counts_a_right_set(images, capsys):
    assert run(["patches", "check", "probe.yaml"]) == 0
    out = capsys.readouterr().out
    assert "24 patches in 8 groups of 3 to 3" in out
    assert "0 sets of identical patches" in out
    assert not (images / "runs" / "check-probe" / "duplicates.csv").exists()


def test_patches_check_reports_one_picture_in_two_patients(images, capsys):
    (images / "p23.png").write_bytes((images / "p1.png").read_bytes())
    assert run(["patches", "check", "probe.yaml"]) == 1
    captured = capsys.readouterr()
    assert "1 sets of identical patches, 1 of them across groups" in captured.out
    assert "p1.png of group patient_0 (b), p23.png of group patient_7 (b)" in captured.err
    with (images / "runs" / "check-probe" / "duplicates.csv").open(newline="") as handle:
        assert [row["group"] for row in csv.DictReader(handle)] == ["patient_0", "patient_7"]


def test_patches_check_lists_damaged_images(images, capsys):
    (images / "p5.png").write_bytes((images / "p5.png").read_bytes()[:300])
    assert run(["patches", "check", "probe.yaml", "--out", "checked"]) == 1
    assert "1 images cannot be read" in capsys.readouterr().err
    with (images / "checked" / "failures.csv").open(newline="") as handle:
        assert [row["item"] for row in csv.DictReader(handle)] == ["p5.png"]


def test_patches_check_tries_the_folds(images, capsys):
    assert run(["patches", "check", "probe.yaml", "--set", "split.folds=9", "--no-pixels"]) == 2
    assert "9 folds need 9 groups, there are 8" in capsys.readouterr().err


def test_patches_check_refuses_folds_before_it_reads_pixels(images, monkeypatch, capsys):
    monkeypatch.setattr(
        "hage_transfer.probes.patch_check.check_pixels", lambda *_, **__: pytest.fail("pixels were read")
    )
    assert run(["patches", "check", "probe.yaml", "--set", "split.folds=9"]) == 2
    assert "9 folds need 9 groups, there are 8" in capsys.readouterr().err


def test_patches_check_maps_labels(images, capsys):
    sets = ["--set", "label_map={a: tumour, b: other}", "--no-pixels"]
    assert run(["patches", "check", "probe.yaml", *sets]) == 0
    assert "tumour" in capsys.readouterr().out


def test_patches_manifest_feeds_the_official_split(images, capsys):
    rows = [
        f"p{number}.png,{'ab'[number % 2]},{number // 3},{('Train', 'Train', 'Validation', 'Test')[number // 6]}"
        for number in range(24)
    ]
    (images / "tiles.csv").write_text("\n".join(["file,class,case,set", *rows]))
    assert run(["patches", "manifest", "tiles.csv", "--out", "manifest.csv"]) == 0
    official = ["--set", "split={mode: official, parts: manifest.csv}"]
    assert run(["patches", "check", "probe.yaml", *official]) == 0
    assert "folds (official): test rows 6" in capsys.readouterr().out


@pytest.mark.slow
def test_probe_runs_pcam_in_its_published_form_in_one_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_pcam(tmp_path / "pcam", n_patches=300, per_slide=10)
    recipe = Path(__file__).parents[2] / "configs" / "probes" / "pcam.yaml"
    sets = {
        "data.root": "pcam",
        "encoder.name": "embedded",
        "sources": "{frozen: {}}",
        "train.batch_size": "64",
        "learning_curve.shares": "[0.2]",
        "learning_curve.draws": "2",
    }
    arguments = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
    assert run(["probe", str(recipe), "--out", "folds", "--device", "cpu", *arguments]) == 0
    assert "300 rows" in capsys.readouterr().out
    folds = Results.load(tmp_path / "folds" / "results.json")
    assert folds.value(source="frozen", fold=MEAN, metric="auc", split="test") > 0.75
    assert {row["classifier"] for row in folds.meta["cross_checks"]} == {"linear", "logistic", "class_mean"}
    official = [*arguments, "--set", "split.mode=official"]
    assert run(["probe", str(recipe), "--out", "official", "--device", "cpu", *official]) == 0
    assert "the published train, valid and test parts" in capsys.readouterr().out
    records = json.loads((tmp_path / "official" / "results.json").read_text())["records"]
    assert {record["split"] for record in records} == {"test", "validation"}


def test_probe_finds_a_class_that_an_official_test_part_lacks_before_it_encodes(images, capsys):
    rows = [
        "path,label,group,part",
        "a/1.png,a,p1,train",
        "a/2.png,a,p2,test",
        "b/1.png,b,p3,train",
        "b/2.png,b,p4,train",
    ]
    (images / "one.csv").write_text("\n".join(rows) + "\n")
    for row in rows[1:]:
        path = images / "images" / row.partition(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), "pink").save(path)
    data = f"data={{layout: manifest, root: {images / 'images'}, manifest: one.csv}}"
    official = ["--set", data, "--set", "split={mode: official, parts: one.csv}", "--set", "features=f1"]
    assert run(["probe", "probe.yaml", *official, "--out", "lacking"]) == 2
    assert "the official test part has no row of class b" in " ".join(capsys.readouterr().err.split())
    assert not (images / "f1" / "features.h5").exists()


def test_a_manifest_that_is_gone_is_a_message_also_where_labels_were_written_before(images, capsys):
    (images / "f2").mkdir()
    (images / "f2" / "labels.csv").write_text("key,label,group\n")
    gone = ["--set", "data={layout: manifest, manifest: gone.csv}", "--set", "features=f2"]
    for command in (["probe", "probe.yaml", "--out", "o"], ["encode", "patches", "probe.yaml"]):
        assert run([*command, *gone]) == 2
        assert "gone.csv: no such manifest" in capsys.readouterr().err
