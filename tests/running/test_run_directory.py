import json
import shutil
import threading
import time

import pytest
import yaml

from hage_transfer.config import Settings
from hage_transfer.errors import ConfigError
from hage_transfer.running.atomic import write_text
from hage_transfer.running.items import run_items
from hage_transfer.running.jobs import Job
from hage_transfer.running.run_directory import RunDirectory, alone_in


class Small(Settings):
    epochs: int = 3
    name: str | None = None


def test_opening_writes_config_and_environment(tmp_path):
    run = RunDirectory.open(tmp_path / "run", Small())
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == {"epochs": 3, "name": None}
    assert {"command", "packages", "commit"} <= set(json.loads((run.path / "environment.json").read_text()))


def test_the_same_config_resumes_and_another_is_refused_by_key(tmp_path):
    run = RunDirectory.open(tmp_path / "run", Small())
    (run.path / "jobs").mkdir()
    RunDirectory.open(tmp_path / "run", Small())
    with pytest.raises(ConfigError, match=r"differs in epochs.*overwrite=True"):
        RunDirectory.open(tmp_path / "run", Small(epochs=4))
    assert (run.path / "jobs").exists()


def test_overwrite_deletes_the_earlier_run(tmp_path):
    run = RunDirectory.open(tmp_path / "run", Small())
    (run.path / "jobs").mkdir()
    RunDirectory.open(tmp_path / "run", Small(epochs=4), overwrite=True)
    assert not (run.path / "jobs").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("other", ["notes.txt", "config.yaml"])
def test_a_folder_of_other_files_is_never_touched(tmp_path, overwrite, other):
    (tmp_path / other).write_text("a: 1")
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="is no run directory"):
        RunDirectory.open(tmp_path, Small(), overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("text", ["- a", "a: ["])
def test_a_config_that_is_none_is_named(tmp_path, text):
    run = RunDirectory.open(tmp_path / "run", Small())
    (run.path / "jobs").mkdir()
    (run.path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        RunDirectory.open(tmp_path / "run", Small())


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    for path in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(ConfigError, match=r"another out=|names a folder"):
            RunDirectory.open(path, Small())


def test_a_second_run_waits_for_the_first_and_finds_what_it_made(tmp_path, caplog):
    folder, order = tmp_path / "run", []

    def second():
        with alone_in(folder):
            order.append((folder / "made").read_text())

    with caplog.at_level("INFO"), alone_in(folder):
        thread = threading.Thread(target=second)
        thread.start()
        while "waiting for it to end" not in caplog.text:
            time.sleep(0.01)
        (folder / "made").write_text("by the first")
        assert order == []
    thread.join(timeout=20)
    assert order == ["by the first"]
    assert [path.name for path in folder.iterdir()] == ["made"]


def test_what_is_refused_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="no"), alone_in(tmp_path / "run"):
        raise ConfigError("no")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made again"])
def test_a_folder_that_is_deleted_while_it_is_worked_in_is_told(tmp_path, again):
    with pytest.raises(ConfigError, match="was deleted or moved while this command"), alone_in(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        if again:
            write_text(tmp_path / "run" / "jobs" / "a.txt", "a job that goes on")


def test_a_list_ends_where_its_folder_is_deleted(tmp_path):
    ran = []

    def work(number):
        ran.append(number)
        if number == 1:
            shutil.rmtree(tmp_path / "run")

    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError, match="was deleted or moved"):
        run_items([Job(str(number), None, work, (number,)) for number in range(5)], tmp_path / "run")
    assert ran == [0, 1]


def test_overwrite_keeps_the_lock_of_whoever_overwrites(tmp_path):
    (RunDirectory.open(tmp_path / "run", Small()).path / "jobs").mkdir()
    with alone_in(tmp_path / "run"):
        RunDirectory.open(tmp_path / "run", Small(epochs=4), overwrite=True)
        assert [path.name for path in (tmp_path / "run" / "locks").iterdir()] == ["run.0.lock"]
