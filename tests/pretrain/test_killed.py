"""A matrix of folds and trials that is killed again and again ends with the results of an undisturbed run.

    HAGE_TEST_KILLS=20 pytest tests/pretrain/test_killed.py --log-cli-level=INFO

kills as often as it says (2 unless told), at moments drawn uniformly from the first nine tenths of the time that the
undisturbed run takes.
"""

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.inputs import STORE

log = logging.getLogger(__name__)
N_KILLS = int(os.environ.get("HAGE_TEST_KILLS", "2"))
START = "import sys; from hage_transfer.cli.main import main; main()"


def start(recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    """`hage pretrain` with two jobs, in a process group of its own."""
    command = ["pretrain", str(recipe), "--out", str(out), "--device", "cpu", "--jobs", "2"]
    with (out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-c", START, *command], stdout=log, stderr=log, start_new_session=True)


def wait_for_work(process: subprocess.Popen[bytes], out: Path, since: float) -> None:
    """Until the run directory is opened, after which everything is written."""
    while process.poll() is None and (not (mark := out / "config.yaml").exists() or mark.stat().st_mtime < since):
        time.sleep(0.02)


def killed_at(process: subprocess.Popen[bytes], moment: float) -> bool:
    """Kills the whole group after so many seconds; False where the run had ended by then."""
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def n_done(out: Path) -> int:
    """Jobs that left their file."""
    return sum(path.is_file() and not path.name.startswith(".") for path in out.glob("jobs/*/*"))


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_results_of_an_undisturbed_one(config: PretrainConfig, tmp_path):
    changes = {"train": config.train.model_copy(update={"patience": 12}), "methods": ("hage", "stnet", "pca_ridge")}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(config.model_copy(update=changes).model_dump(mode="json")))
    began = time.time()
    process = start(recipe, tmp_path / "whole")
    wait_for_work(process, tmp_path / "whole", began)
    opened = time.monotonic()
    assert process.wait() == 0
    duration = time.monotonic() - opened
    moments, n_killed, n_whole = random.Random(0), 0, 0
    while n_killed < N_KILLS:
        out = tmp_path / f"killed_{n_whole}"
        while True:
            began = time.time()
            process = start(recipe, out)
            wait_for_work(process, out, began)
            moment = moments.uniform(0, 0.9 * duration) if n_killed < N_KILLS else 3600.0
            if not killed_at(process, moment):
                break
            n_killed += 1
            log.info("kill %d after %.1f of %.1f s, %d jobs done", n_killed, moment, duration, n_done(out))
        assert process.returncode == 0, (tmp_path / f"{out.name}.log").read_text()
        assert (out / "results.json").read_text() == (tmp_path / "whole" / "results.json").read_text()
        assert not list(out.rglob(".partial-*"))
        assert not (out / STORE).exists()
        n_whole += 1
    log.info("%d kills over %d runs, each with the results of the undisturbed one", n_killed, n_whole)
