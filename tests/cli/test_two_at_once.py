"""Two commands with one `--out`, and an output folder that is deleted while a command is at work in it."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from hage_transfer.cli.main import run
from hage_transfer.data.feature_journal import FeatureJournal
from hage_transfer.running import items
from hage_transfer.running.run_directory import alone_in

HAGE = [sys.executable, "-c", "from hage_transfer.cli.main import main; main()"]
TIMES = re.compile(r'"(seconds|time)": [0-9.e+-]+')
CPU = ["--device", "cpu"]


def start(command, out, log):
    line = [part.replace("OUT", str(out)) for part in command]
    with log.open("ab") as file:
        return subprocess.Popen([*HAGE, *line], stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"})


def results(out):
    return TIMES.sub("", (out / "results.json").read_text().replace(str(out), "OUT"))


@pytest.mark.slow
def test_two_commands_with_one_out_end_alike(bench):
    command = ["probe", "probe.yaml", *CPU, "--set", "split.folds=2", "--set", "features=OUT features", "--out", "OUT"]
    log, alone, both = bench.root / "log", bench.root / "alone", bench.root / "both"
    assert start(command, alone, log).wait(timeout=300) == 0, log.read_text()
    logs = [bench.root / f"log{number}" for number in range(2)]
    with alone_in(both):  # until both are there, however fast one is
        two = [start(command, both, one) for one in logs]
        end = time.monotonic() + 300
        while not all("waiting for it to end" in one.read_text() for one in logs) and time.monotonic() < end:
            time.sleep(0.1)
    codes = [one.wait(timeout=300) for one in two]
    told = "".join(one.read_text() for one in logs)
    assert codes == [0, 0], told
    assert told.count("waiting for it to end") >= 2
    assert results(both) == results(alone)
    assert {str(path.relative_to(both)) for path in both.rglob("*")} >= {"results.json", "log.txt"}
    assert not (both / "locks").exists()


def deleting(monkeypatch, folder):
    """Deletes a folder as soon as the first job ends, or the first rows are kept."""
    really, append = items.run_jobs, FeatureJournal.append

    def delete():
        shutil.rmtree(folder)

    def jobs(*args, **kwargs):
        for one in really(*args, **kwargs):
            if folder.exists():
                delete()
            yield one

    def rows(journal, found):
        append(journal, found)
        if journal.path.is_relative_to(folder):
            delete()

    monkeypatch.setattr(items, "run_jobs", jobs)
    monkeypatch.setattr(FeatureJournal, "append", rows)


@pytest.mark.parametrize(
    "command",
    [
        ["mil", "mil.yaml", *CPU, "--out", "OUT"],
        ["probe", "probe.yaml", *CPU, "--set", "split.folds=2", "--out", "OUT"],
        ["encode", "patches", "probe.yaml", *CPU, "--set", "features=OUT"],
        ["convert", "bags", "--to", "clam", "--out", "OUT"],
        ["encode", "st", "pretrain.yaml", *CPU, "--set", "features=OUT"],
    ],
    ids=lambda command: " ".join(part for part in command[:2] if "yaml" not in part),
)
def test_an_output_folder_that_is_deleted_meanwhile_ends_the_command_with_one_message(
    bench, monkeypatch, capsys, command
):
    out = bench.root / "out"
    deleting(monkeypatch, out)
    assert run([part.replace("OUT", str(out)) for part in command]) == 2
    err = capsys.readouterr().err
    told = [line for line in err.splitlines() if "out: was deleted or moved" in line]
    assert len(told) == 1, err
    assert not list(out.rglob("results.json"))
