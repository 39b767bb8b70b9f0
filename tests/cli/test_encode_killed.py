"""Workers on one list, each killed with kill -9 again and again: every slide once, bit-equal, nothing left behind.

HAGE_KILL_WORKERS, HAGE_KILL_SLIDES and HAGE_KILL_ROUNDS set how many; 4, 40 and 10 is the long form.
"""

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from hage_transfer.demo.slides import write_pyramid

WORKERS, SLIDES, ROUNDS = (
    int(os.environ.get(f"HAGE_KILL_{name}", default))
    for name, default in (("WORKERS", 2), ("SLIDES", 4), ("ROUNDS", 2))
)
SIDE_PX, TILE_PX = 1152, 128
HAGE = "import sys; from hage_transfer.cli.main import main; main()"


def write_slide(path: Path, seed: int) -> None:
    """Glass with a square of textured pink; its resolution is the demo's."""
    rng = np.random.default_rng(seed)
    image = np.full((SIDE_PX, SIDE_PX, 3), 240, np.uint8)
    low, high = 64, SIDE_PX - rng.integers(64, 200)
    grain = rng.integers(-40, 40, (high - low, high - low, 1))
    image[low:high, low:high] = np.clip(np.array([200, 110, 165]) + grain, 0, 255)
    write_pyramid(path, image)


@pytest.fixture
def recipe(tmp_path):
    names = [f"slide {number:02d}" for number in range(SLIDES)]
    for seed, name in enumerate(names):
        write_slide(tmp_path / "slides" / f"{name}.tif", seed)
    (tmp_path / "table.csv").write_text("\n".join(["slide", *names]) + "\n")
    data = {"layout": "slides", "root": str(tmp_path / "slides"), "labels": str(tmp_path / "table.csv")}
    data |= {"mpp_um_per_px": 0.5, "tile_px": TILE_PX, "min_tissue": 0.5}
    (tmp_path / "mil.yaml").write_text(yaml.safe_dump({"data": data, "encoder": {"batch_size": 8}}))
    return tmp_path / "mil.yaml"


def start(recipe: Path, features: Path, log: Path, *more: str) -> subprocess.Popen:
    command = ["encode", "slides", str(recipe), "--device", "cpu", "--set", f"features={features}", *more]
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-c", HAGE, *command],
            stderr=file,
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "500"},
        )


def is_at_work(locks: Path, pid: int) -> bool:
    for path in locks.glob("*.lock"):
        try:
            if f'"pid": {pid},' in path.read_text():
                return True
        except FileNotFoundError:
            continue
    return False


def worker_of_many_lives(number: int, recipe: Path, features: Path, kills: list, codes: list) -> None:
    """Killed at a random moment of its work, and started again, as often as ROUNDS says; then left to end."""
    rng = random.Random(number)
    log = recipe.parent / f"worker{number}.log"
    for _ in range(ROUNDS):
        process = start(recipe, features, log)
        while process.poll() is None and not is_at_work(features / "locks", process.pid):
            time.sleep(0.02)
        try:
            process.wait(timeout=rng.uniform(0, 5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills.append(number)
        process.wait()
    codes.append(start(recipe, features, log).wait())


@pytest.mark.slow
def test_killed_workers_encode_every_slide_once_and_alike(recipe):
    folder = recipe.parent
    whole, killed = folder / "whole", folder / "killed"
    assert start(recipe, whole, folder / "whole.log").wait() == 0

    kills, codes = [], []
    lives = [
        threading.Thread(target=worker_of_many_lives, args=(number, recipe, killed, kills, codes))
        for number in range(WORKERS)
    ]
    for life in lives:
        life.start()
    for life in lives:
        life.join()
    assert codes == [0] * WORKERS
    assert kills
    assert start(recipe, killed, folder / "last.log").wait() == 0  # the status of all, whoever ended last

    lines = [line for log in folder.glob("worker*.log") for line in log.read_text().splitlines() if " rows in " in line]
    times = Counter(line.split(": ")[0].split(" ", 1)[-1].strip() for line in lines)
    resumed = sum(log.read_text().count("from a run that was stopped") for log in folder.glob("worker*.log"))
    taken = sum(log.read_text().count("its holder is gone; taken over") for log in folder.glob("worker*.log"))
    sys.stdout.write(
        f"{len(kills)} kills, {taken} locks taken over, {resumed} lives resumed a slide, {times.total()} ends\n"
    )
    assert max(times.values()) == 1
    with (killed / "status.csv").open(newline="") as handle:
        assert [row["status"] for row in csv.DictReader(handle)] == ["done"] * SLIDES
    names = sorted(path.name for path in (whole / "features").iterdir())
    assert len(names) == SLIDES
    assert sorted(path.name for path in (killed / "features").iterdir()) == names
    for name in names:
        assert (killed / "features" / name).read_bytes() == (whole / "features" / name).read_bytes()
    left = {path.relative_to(killed) for path in killed.rglob("*")}
    assert left == {path.relative_to(whole) for path in whole.rglob("*")}
    assert taken > 0


@pytest.mark.slow
def test_a_killed_ray_worker_loses_no_slide_and_the_files_are_equal(recipe):
    """A cluster of two workers is started, and one of them killed while it holds a slide."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'hage-transfer[ray]'")
    folder = recipe.parent
    whole, killed = folder / "whole", folder / "killed"
    assert start(recipe, whole, folder / "whole.log").wait() == 0
    process = start(recipe, killed, folder / "ray.log", "--engine", "ray", "--jobs", "2")
    pids = []
    while process.poll() is None and not pids:
        time.sleep(0.02)
        for lock in (killed / "locks").glob("*.lock"):
            with contextlib.suppress(OSError, ValueError):
                pid = json.loads(lock.read_text())["pid"]
                if pid != process.pid and not lock.name.startswith("%2F"):  # an item's, not a table's
                    os.kill(pid, signal.SIGKILL)
                    pids.append(pid)
                    break
    assert process.wait(timeout=300) == 0, (folder / "ray.log").read_text()
    assert pids
    names = sorted(path.name for path in (whole / "features").iterdir())
    assert sorted(path.name for path in (killed / "features").iterdir()) == names
    for name in names:
        assert (killed / "features" / name).read_bytes() == (whole / "features" / name).read_bytes()
    with (killed / "status.csv").open(newline="") as handle:
        assert [row["status"] for row in csv.DictReader(handle)] == ["done"] * SLIDES
