"""A command that is killed or interrupted and run again ends with the numbers of an undisturbed run."""

import contextlib
import re
import signal
import subprocess
import sys
import time
import tomllib
import types
from pathlib import Path

import pytest

from hage_transfer.cli import start
from hage_transfer.cli.main import run

COMMANDS = {
    "pretrain": ["pretrain", "pretrain.yaml", "--device", "cpu", "--set", "trials=8", "--set", "train.epochs=8"],
    "mil": ["mil", "mil.yaml", "--device", "cpu", "--set", "split.folds=4", "--set", "train.epochs=100"],
}


def stop_midway(command: list[str], jobs: Path, how: signal.Signals) -> int:
    """Starts the command in a process of its own, stops it once a first job is done, and returns its exit code."""
    begin = "from hage_transfer.cli.start import main; main()"
    process = subprocess.Popen([sys.executable, "-c", begin, *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while process.poll() is None and not any(path.is_file() for path in jobs.rglob("*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while process.poll() is None:  # again, as a person would: Python drops an interrupt that meets a weakref callback
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
    _, shown = process.communicate()
    assert "Traceback" not in re.sub(r"Exception ignored in.*?KeyboardInterrupt:", "", shown, flags=re.DOTALL)
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


def test_ctrl_c_while_the_command_line_is_loaded_is_one_message(monkeypatch, capsys):
    class Loading(types.ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "hage_transfer.cli.main", Loading("main"))
    monkeypatch.setattr(sys, "argv", ["hage", "mil", "tcga_brca", "--overwrite"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == (
        "",
        "interrupted; what is done is kept, `hage mil tcga_brca` goes on from where it stopped\n",
    )


def test_the_script_begins_where_ctrl_c_is_met():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["hage"] == f"{start.__name__}:main"
    code = "import sys; import hage_transfer.cli.start; print([one for one in ('typer', 'rich') if one in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
