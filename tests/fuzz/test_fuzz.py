"""A thousand damaged files of every kind, the same each time; `make fuzz` reads ten thousand."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def test_damaged_files_are_read_or_refused_and_nothing_else():
    paths = [str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    ran = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "--cases", "1000"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert ran.stdout.count(" refused   0 wrong") == len(ran.stdout.splitlines()) == 28
