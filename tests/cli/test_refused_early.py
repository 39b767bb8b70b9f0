"""What can be refused is refused before torch and its like are loaded: wrong names, keys, paths and folders."""

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "timm", "lightning", "sklearn", "scanpy", "transformers", "matplotlib"]
WRONG = {
    "apply none {folder}": "none: no such classifier directory",
    "apply {folder} {folder}": "folder: is no classifier directory: classifier.json is missing",
    "apply {folder} none": "none: no such file or folder; wanted slides, images or features",
    "apply {folder} {folder} --labels none.csv": "none.csv: no such file or folder; wanted labels",
    "apply {folder} {folder} --device gpu": "--device gpu: no device; wanted cpu, cuda",
    "compare none.yaml": "none.yaml: no such config file",
    "compare ucsb --set tsks=1": "unknown key tsks (nearest valid key: tasks)",
    "convert none --to clam --out out": "none: no such feature file",
    "demo --device gpu --out out": "--device gpu: no device",
    "embed none --encoder {folder} --out out": "none: no such file or folder; wanted features",
    "embed {folder} --encoder {folder} --out out": "folder: is no encoder directory: model.safetensors is missing",
    "embed {folder} --encoder none --out out": "none: no such file or folder; wanted an encoder directory",
    "encode st her2st --set data.root={folder}": "folder: no folder ST-cnts, which the her2st layout has",
    "encode st none.yaml": "none.yaml: no such config file",
    "encode st her2st --set data.root=none": "data.root = none: no such file or folder; --set data.root=...",
    "encode st her2st --set data.root={folder} --encoder unj": "unknown encoder; nearest: uni",
    "encode st her2st --set data.root={folder} --encoder none.onnx": "encoder.name = none.onnx: no such file",
    "encode patches pcam --set data.root=none": "data.root = none: no such file or folder",
    "encode patches ucsb --set data.root={folder}": "folder: none of 0 files matches",
    "encode patches pcam --set data.root={folder} --encoder embedded": "no camelyonpatch_level_2_split_train_x.h5",
    "encode patches pcam --set data.rot=none": "unknown key data.rot (nearest valid key: data.root)",
    "encode slides tcga_brca --set data.root=none --set data.labels=none.csv": (
        "data.root = none: no such file or folder; data.labels = none.csv: no such label table"
    ),
    "genes panel none.yaml": "none.yaml: no such config file",
    "heatmap none": "none: no such file or folder; wanted a run of `hage mil`",
    "heatmap {folder}": "folder: is no run directory (config.yaml is missing)",
    "heatmap {folder} --slides none": "none: no such file or folder; wanted slides",
    "labels check none.csv": "none.csv: no such label table",
    "mil none.yaml": "none.yaml: no such config file",
    "mil tgca_brca": "nearest recipe is mil/tcga_brca",
    "mil tcga_brca --set data.root=none": "data.root = none: no such file or folder",
    "mil tcga_brca --set data.root={folder} --set split.mode=files --set split.files=none": "split.files = none",
    "mil ucsb --set data.root={folder}": "folder: none of 0 files matches",
    'mil ucsb --set data={{"layout":"features","root":"{folder}","labels":"{folder}"}}': "folder: holds no feature",
    "mil demo/mil --set data.root={folder} --set encoder.weights=none": "encoder.weights = none: no such file",
    "mil demo/mil --set train.epohcs=3": "unknown key train.epohcs (nearest valid key: train.epochs)",
    "mil demo/mil --set train.epochs=many": "train.epochs",
    "patches check none.yaml": "none.yaml: no such config file",
    "patches check ucsb --set data.root={folder}": "folder: none of 0 files matches",
    "patches check pcam --set data.root=none": "data.root = none: no such file or folder",
    "predict her2st --encoder none --out out": "--encoder none: no such directory",
    "pretrain none.yaml": "none.yaml: no such config file",
    "pretrain her2st --set data.root=none": "data.root = none: no such file or folder",
    "pretrain her2st --set data.root={folder} --set genes.embeddings=none.txt": "genes.embeddings = none.txt: no such",
    "pretrain her2st --set data.root={whole} --set features=none": "features = none: holds no feature file",
    "probe none.yaml": "none.yaml: no such config file",
    "probe pcam --set data.root=none": "data.root = none: no such file or folder",
    "probe pcam --set data.root={whole} --set sources.hage.encoder=none --set encoder.name=embedded": (
        "sources.hage.encoder = none: no such directory"
    ),
    "probe pcam --device cuda:x --set data.root={folder}": "--device cuda:x: no device",
    "report none --out out": "none: no results.json in it; no such folder",
    "share none --to a/b": "none: no such file or folder; wanted an encoder or classifier directory",
    "tissue none": "none: no such slide or image",
    "tissue none.yaml": "none.yaml: no such config file",
    "view none": "none: no such folder",
}
"""Command lines, and what their messages say."""
TOO_FEW = "mil few.yaml"
"""Refused by its folds, which scikit-learn makes."""
FOLDERS = {"folder": "folder", "whole": "whole"}
"""An empty one, and one in which files have the right names."""
RUN = f"""
import contextlib, io, json, sys
from hage_transfer.cli.main import run
found, heavy = {{}}, {HEAVY}
for line in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = run(line.split())
    found[line] = code, said.getvalue(), [name for name in heavy if name in sys.modules]
    heavy = [name for name in heavy if name not in sys.modules]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """Exit code, message and heavy modules of every line, in a process that had loaded nothing."""
    here = tmp_path_factory.mktemp("here")
    (here / "folder").mkdir()
    for name in ("ST-cnts/A2.tsv", "ST-spotfiles/A2_selection.tsv", "camelyonpatch_level_2_split_train_x.h5"):
        (here / "whole" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "whole" / name).touch()
    (here / "whole" / "labels.csv").write_text("slide,label,group\na,x,p\nb,y,q\n")
    data = {"layout": "features", "root": "whole", "labels": "whole/labels.csv"}
    (here / "few.yaml").write_text(json.dumps({"data": data, "split": {"folds": 5, "by_group": True}}))
    lines = json.dumps([line.format(**FOLDERS) for line in (*WRONG, TOO_FEW)])
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=lines, cwd=here, capture_output=True, text=True, check=True
    )
    assert {path.name for path in here.glob("*")} - {"runs", "few.yaml"} == set(
        FOLDERS.values()
    )  # `tissue` lists slides that fail
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_said_before_anything_heavy_is_loaded(met, line):
    code, said, loaded = met[line.format(**FOLDERS)]
    assert (code, loaded) == (2, [])
    assert WRONG[line] in said


def test_rows_that_do_not_fill_the_folds_are_refused_before_torch_is_loaded(met):
    code, said, loaded = met[TOO_FEW.format(**FOLDERS)]
    assert (code, "folds need 5 groups, there are 2" in said) == (2, True), said
    assert set(loaded) <= {"sklearn", "matplotlib"}
