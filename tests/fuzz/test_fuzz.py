"""Damaged files of every kind, the same each time, a thousand in CI; `make fuzz` reads ten thousand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("cases", ["140", pytest.param("1000", marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused_and_nothing_else(cases):
    paths = [str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    ran = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "--cases", cases],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert ran.stdout.count(" refused   0 wrong") == len(ran.stdout.splitlines()) == 28
