"""A command that is killed or interrupted and run again ends with the numbers of an undisturbed run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hage_transfer.cli.main import run

COMMANDS = {
    "pretrain": ["pretrain", "pretrain.yaml", "--device", "cpu", "--set", "trials=6", "--set", "train.epochs=4"],
    "mil": ["mil", "mil.yaml", "--device", "cpu", "--set", "split.folds=4", "--set", "train.epochs=60"],
}


def stop_midway(command: list[str], jobs: Path, how: signal.Signals) -> int:
    """Starts the command in a process of its own, stops it once a first job is done, and returns its exit code."""
    start = "import sys; from hage_transfer.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", start, *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while process.poll() is None and not any(path.is_file() for path in jobs.rglob("*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    _, shown = process.communicate()
    assert "Traceback" not in shown
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_stopped_command_resumes_to_the_same_results(bench, capsys, name, how):
    command = COMMANDS[name]
    code = stop_midway([*command, "--out", "runs/stopped"], Path("runs/stopped/jobs"), how)
    assert code == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert not Path("runs/stopped/results.json").exists()
    assert run([*command, "--out", "runs/stopped"]) == 0
    assert run([*command, "--out", "runs/whole"]) == 0
    stopped, whole = (Path("runs", which, "results.json").read_text() for which in ("stopped", "whole"))
    assert stopped == whole
    assert not list(Path("runs/stopped").rglob(".partial-*"))
