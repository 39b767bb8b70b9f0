"""`hage mil` killed with kill -9 in training, again and again: it ends with the same bytes as an undisturbed run.

HAGE_KILL_ROUNDS sets how often; 20 is the long form.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from feature_meta import feature_meta

from hage_transfer.data.feature_file import write_features

ROUNDS = int(os.environ.get("HAGE_KILL_ROUNDS", "2"))
HAGE = "import sys; from hage_transfer.cli.main import main; main()"
FILES = ("results.json", "predictions.csv", "models/frozen/trial_0/fold_0.safetensors", "splits/splits_1.csv")


@pytest.fixture
def recipe(tmp_path):
    generator = np.random.default_rng(0)
    lines = ["slide,label,group"]
    for number in range(24):
        features = generator.normal(size=(60, 64)).astype(np.float32) + 0.3 * (number % 2)
        meta = feature_meta(f"s{number}", mpp_um_per_px=None, config_sha256=str(number))
        write_features(tmp_path / "bags" / f"s{number}.h5", features, meta, coords=np.zeros((60, 2), dtype=np.int64))
        lines.append(f"s{number},{('normal', 'tumour')[number % 2]},p{number // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    tree = {
        "data": {"layout": "features", "root": str(tmp_path / "bags"), "labels": str(tmp_path / "labels.csv")},
        "split": {"folds": 3},
        "model": {"kind": "clam_sb", "hidden_dim": 32, "attention_dim": 16, "instance_tiles": 4},
        "train": {"epochs": 25 * (ROUNDS + 1), "min_epochs": 25 * ROUNDS, "bags_per_step": 3, "checkpoint_s": 0.0},
    }
    (tmp_path / "mil.yaml").write_text(yaml.safe_dump(tree))
    return tmp_path / "mil.yaml"


def start(recipe: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", HAGE, "mil", str(recipe), "--out", str(out), "--device", "cpu"]
    with (recipe.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})


def state_of(out: Path) -> int:
    """When the progress of the training was last written; 0 where there is none."""
    times = [path.stat().st_mtime_ns for path in out.glob("jobs/frozen/trial_0-*.progress.safetensors")]
    return max(times, default=0)


@pytest.mark.slow
def test_killed_training_ends_as_the_undisturbed_one(recipe):
    whole, killed = recipe.parent / "whole", recipe.parent / "killed"
    assert start(recipe, whole).wait() == 0
    rng, kills = random.Random(0), 0
    for _ in range(ROUNDS):
        before, process = state_of(killed), start(recipe, killed)
        while process.poll() is None and state_of(killed) == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    sys.stdout.write(f"{kills} kills in training\n")
    assert kills == ROUNDS
    assert start(recipe, killed).wait() == 0
    log = (killed / "log.txt").read_text()
    assert log.count("resumes in epoch") == ROUNDS
    for name in FILES:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list(killed.rglob("*.progress.safetensors"))
    assert not list(killed.rglob(".partial-*"))
