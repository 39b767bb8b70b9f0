"""Kinds of bad input on the command line: each one clear message that names the culprit, exit code 2, no traceback."""

import json
import re
import shutil
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from hage_transfer import GeneInformedEncoder
from hage_transfer.cli.main import run


def truncated_gz(bench: Any) -> None:
    path = bench.counts_path("B1")
    path.write_bytes(path.read_bytes()[:-20])


def text_in_counts(bench: Any) -> None:
    table = bench.read_counts("B1").astype(object)
    table.iloc[2, 3] = "many"
    bench.write_counts("B1", table)


def spots_outside(bench: Any) -> None:
    table = pd.read_csv(bench.spots_path("B1"), sep="\t")
    bench.write_spots("B1", table.assign(pixel_x=table["pixel_x"] + 5000))


def no_common_spots(bench: Any) -> None:
    table = bench.read_counts("B1")
    bench.write_counts("B1", table.set_axis([f"9{name}" for name in table.index]))


def gene_twice(bench: Any) -> None:
    bench.write_counts("B1", bench.read_counts("B1").rename(columns={"GENE4": "GENE3"}))


def nan_feature(bench: Any) -> None:
    with h5py.File(bench.bags / "s3.h5", "r+") as file:
        file["features"][1, 2] = np.nan


def empty_bag(bench: Any) -> None:
    with h5py.File(bench.bags / "s3.h5", "r+") as file:
        for name, shape in (("features", (0, 5)), ("coords", (0, 2))):
            del file[name]
            file.create_dataset(name, shape=shape, dtype="f4")


def other_encoder_width(bench: Any) -> None:
    encoder = GeneInformedEncoder(torch.randn(3, 4), feature_dim=9, embed_dim=8, n_heads=2)
    card = {"frozen_encoder": "embedded", "frozen_encoder_sha256": "abc"}
    encoder.save_pretrained(bench.root / "encoder", card=card)


def labels(bench: Any, **columns: object) -> None:
    bench.labels.assign(**columns).to_csv(bench.root / "labels.csv", index=False)


def slide_with_two_labels(bench: Any) -> None:
    both = pd.concat([bench.labels, pd.DataFrame([("s3", "a", "g3")], columns=bench.labels.columns)])
    both.to_csv(bench.root / "labels.csv", index=False)


PRETRAIN = ["pretrain", "pretrain.yaml", "--device", "cpu"]
ENCODE_PATCHES = ["encode", "patches", "probe.yaml", "--device", "cpu"]
MIL = ["mil", "mil.yaml", "--device", "cpu"]
EMBED = ["embed", "features/A2.h5", "--encoder", "encoder", "--out", "embedded.h5"]

CASES: dict[str, tuple[Callable[[Any], object], list[str], str]] = {
    "missing config": (lambda b: None, ["pretrain", "nowhere.yaml"], r"nowhere\.yaml: no such config"),
    "missing counts": (lambda b: shutil.rmtree(b.st / "ST-cnts"), PRETRAIN, r"st.*ST-cnts"),
    "truncated gz": (truncated_gz, PRETRAIN, r"B1\.tsv\.gz.*"),
    "text in the count table": (text_in_counts, PRETRAIN, r"B1\.tsv\.gz.*many"),
    "spots outside the image": (spots_outside, ["encode", "st", "pretrain.yaml"], r"B1.*36.*outside"),
    "no common spots": (no_common_spots, PRETRAIN, r"B1"),
    "a gene listed twice": (gene_twice, PRETRAIN, r"B1\.tsv\.gz.*GENE3"),
    "empty panel": (
        lambda b: None,
        [*PRETRAIN, "--set", "genes.panel=hvg", "--set", "genes.min_sections=1", "--set", "genes.min_spots=900"],
        r"min_spots",
    ),
    "unknown gene": (
        lambda b: (b.root / "panel.txt").write_text("GENE1\nGENE2\nERBB99\n"),
        PRETRAIN,
        r"panel\.txt.*ERBB99",
    ),
    "wrong feature width": (other_encoder_width, EMBED, r"width 9, .*A2.* 5"),
    "unknown config key": (lambda b: None, [*PRETRAIN, "--set", "train.epoch=3"], r"train\.epoch .*train\.epochs"),
    "wrong type": (lambda b: None, [*PRETRAIN, "--set", "trials=several"], r"trials = 'several'"),
    "override of a value as a group": (lambda b: None, [*PRETRAIN, "--set", "trials.x=1"], r"trials is a value"),
    "label csv with a slide that has no features": (lambda b: (b.bags / "s5.h5").unlink(), MIL, r"first: s5;"),
    "slide with two labels": (slide_with_two_labels, MIL, r"labels\.csv.*s3.*b and as a"),
    "one class only": (lambda b: labels(b, label="a"), MIL, r"one class alone \(a\): a classifier needs two"),
    "more folds than groups": (lambda b: None, [*MIL, "--set", "split.folds=9"], r"9 folds need 9 groups, there are 8"),
    "groups given for some slides only": (lambda b: labels(b, group=["g"] * 7 + [""]), MIL, r"labels\.csv.*s7"),
    "empty bag": (empty_bag, MIL, r"s3\.h5.*empty bag"),
    "NaN features": (nan_feature, MIL, r"s3\.h5.*NaN"),
    "unreadable image": (
        lambda b: (b.images / "p2.png").write_bytes(b"not an image"),
        ENCODE_PATCHES,
        r"p2\.png",
    ),
    "unknown encoder": (lambda b: None, [*ENCODE_PATCHES, "--set", "encoder.name=unni"], r"unni.*uni"),
    "missing weights": (
        lambda b: None,
        [*ENCODE_PATCHES, "--set", "encoder.name=uni", "--set", "encoder.weights=uni.bin"],
        r"uni\.bin",
    ),
    "encoder directory that is none": (lambda b: None, EMBED, r"encoder.*hage pretrain"),
    "unknown section": (lambda b: None, [*PRETRAIN, "--set", "data.sections=[A2,B7]"], r"B7.*"),
    "held-out section that trains": (
        lambda b: None,
        [*PRETRAIN, "--set", "split.held_out=[A]", "--set", "split.train=[A2,B1]"],
        r"A2, which is held out",
    ),
    "no CUDA device": (lambda b: None, [*PRETRAIN[:2], "--device", "cuda:99"], r"cuda:99"),
    "no config given": (lambda b: None, ["pretrain"], r"Missing argument .config"),
    "unknown command": (lambda b: None, ["pretrian"], r"pretrian"),
    "unknown option": (lambda b: None, [*PRETRAIN, "--epochs", "3"], r"--epochs"),
    "no jobs": (lambda b: None, [*PRETRAIN, "--jobs", "0"], r"--jobs"),
    "negative seed": (lambda b: None, [*PRETRAIN, "--set", "seed=-1"], r"seed = -1"),
    "a unit held out twice": (lambda b: None, [*PRETRAIN, "--set", "split.held_out=[B,B]"], r"split\.held_out.*once"),
    "demo into a folder of other files": (
        lambda b: None,
        ["demo", "--out", "images"],
        r"images: exists and holds no demo",
    ),
    "training that diverges": (
        lambda b: None,
        [*PRETRAIN, "--set", "train.learning_rate=1e30", "--out", "runs/diverged"],
        r"lower train\.learning_rate",
    ),
    "out folder that is no run": (lambda b: None, [*PRETRAIN, "--out", "images"], r"images: exists and is no run"),
}


@pytest.mark.parametrize("kind", CASES)
def test_bad_input_ends_with_one_clear_message(bench, capsys, kind):
    spoil, command, message = CASES[kind]
    spoil(bench)
    assert run(command) == 2
    shown = capsys.readouterr().err
    errors = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, shown
    assert re.search(message, errors[0]), errors[0]
    assert "Traceback" not in shown


def test_the_bench_itself_is_right(bench, capsys):
    """Without a fault in it the same commands succeed, so the messages above are about the faults."""
    assert run([*MIL, "--out", "runs/mil"]) == 0
    assert run([*PRETRAIN, "--out", "runs/pretrain"]) == 0
    assert json.loads((bench.root / "runs/pretrain/results.json").read_text())["records"]


def test_a_failed_command_leaves_no_results(bench, capsys):
    nan_feature(bench)
    run([*MIL, "--out", "runs/mil"])
    assert not (bench.root / "runs/mil/results.json").exists()


def test_a_run_that_failed_at_its_input_does_not_block_its_folder(bench, capsys):
    assert run([*MIL, "--out", "runs/mil", "--set", "split.folds=9"]) == 2
    assert run([*MIL, "--out", "runs/mil"]) == 0


def test_another_config_in_the_same_folder_is_refused_by_key(bench, capsys):
    assert run([*MIL, "--out", "runs/mil"]) == 0
    assert run([*MIL, "--out", "runs/mil", "--set", "train.epochs=2"]) == 2
    assert "train.epochs" in capsys.readouterr().err
