import json

import pytest
import yaml

from hage_transfer.config import Settings
from hage_transfer.errors import ConfigError
from hage_transfer.running.run_directory import RunDirectory


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
