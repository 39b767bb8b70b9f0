"""`hage mil` and `hage probe` from the command line: exit codes, the run directory, one message for wrong input."""

import numpy as np
import pytest
import yaml
from feature_meta import feature_meta

from hage_transfer.cli.main import run
from hage_transfer.compare.records import MEAN
from hage_transfer.compare.results import Results
from hage_transfer.data.feature_file import write_features

META = feature_meta("set", mpp_um_per_px=None)


@pytest.fixture
def mil_config(tmp_path):
    """A MIL recipe over feature files: tumour slides differ in every tile."""
    generator = np.random.default_rng(0)
    lines = ["slide,label,group"]
    for number in range(24):
        label = number % 2
        features = generator.normal(size=(5, 4)).astype(np.float32) + 3 * label
        write_features(tmp_path / "bags" / f"s{number}.h5", features, META, coords=np.zeros((5, 2), dtype=np.int64))
        lines.append(f"s{number},{('normal', 'tumour')[label]},p{number // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    tree = {
        "data": {"layout": "features", "root": str(tmp_path / "bags"), "labels": str(tmp_path / "labels.csv")},
        "split": {"folds": 3},
        "model": {"hidden_dim": 8, "attention_dim": 4},
        "train": {"epochs": 10, "validation": 0, "bags_per_step": 4, "learning_rate": 0.01},
    }
    path = tmp_path / "mil.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def command(config, tmp_path, *overrides):
    sets = [part for override in overrides for part in ("--set", override)]
    return run(["mil", str(config), "--out", str(tmp_path / "run"), "--device", "cpu", *sets])


def test_mil_command_writes_a_run_directory_and_a_table(mil_config, tmp_path, capsys):
    assert command(mil_config, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "frozen" in printed
    assert "positive class tumour" in printed
    results = Results.load(tmp_path / "run" / "results.json")
    assert results.value(source="frozen", fold=MEAN, metric="auc") > 0.9
    for name in ("config.yaml", "environment.json", "log.txt", "predictions.csv", "splits/splits_0.csv"):
        assert (tmp_path / "run" / name).is_file()


def test_mil_command_run_again_gives_the_same_results(mil_config, tmp_path):
    command(mil_config, tmp_path)
    before = (tmp_path / "run" / "results.json").read_bytes()
    assert command(mil_config, tmp_path) == 0
    assert (tmp_path / "run" / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("split.folds=13", "13 folds need 13 groups, there are 12"),
        ("positive=benign", "the labels are normal, tumour"),
        ("sources={hage: {encoder: nowhere/trial_*}}", "nowhere/trial_*: no such directory"),
        ("data.root=nowhere", "data.root = nowhere: no such file or folder"),
        ("data.labels=nowhere.csv", "nowhere.csv: no such label table"),
        ("train.epoch=3", "nearest valid key: train.epochs"),
    ],
)
def test_mil_command_says_what_is_wrong_and_exits_with_2(mil_config, tmp_path, capsys, override, message):
    assert command(mil_config, tmp_path, override) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert message in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run").exists()


def test_mil_command_names_a_labelled_slide_without_features(mil_config, tmp_path, capsys):
    (tmp_path / "bags" / "s3.h5").unlink()
    assert command(mil_config, tmp_path) == 2
    assert "1 of 24 labelled slides have no feature file" in " ".join(capsys.readouterr().err.split())


def test_probe_command_reads_features_that_are_given(tmp_path):
    generator = np.random.default_rng(0)
    keys = [f"k{i}" for i in range(60)]
    features = generator.normal(size=(60, 4)).astype(np.float32) + 3 * (np.arange(60) % 2)[:, None].astype(np.float32)
    folder = tmp_path / "patches"
    write_features(folder / "features.h5", features, META, keys=keys)
    rows = [f"{key},{'ab'[i % 2]}," for i, key in enumerate(keys)]
    (folder / "labels.csv").write_text("\n".join(["key,label,group", *rows]))
    config = tmp_path / "probe.yaml"
    tree = {"features": str(folder), "sources": {"given": {"features": str(folder)}}, "split": {"by_group": False}}
    config.write_text(yaml.safe_dump({**tree, "train": {"batch_size": 8}}))
    assert run(["probe", str(config), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    assert Results.load(tmp_path / "run" / "results.json").value(source="given", fold=MEAN, metric="auc") > 0.9
