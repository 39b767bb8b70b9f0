import json
import os

import pytest

from hage_transfer.running.atomic import (
    TEMPORARY_MARK,
    atomic_folder,
    atomic_path,
    remove_partial,
    remove_partial_of,
    temporary_path,
    write_csv,
    write_json,
    write_text,
)


def test_an_interrupted_write_is_invisible(tmp_path):
    write_text(tmp_path / "a.txt", "before")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_a_write_makes_its_folder_and_leaves_one_file(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"value": 1})
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"value": 1}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert (tmp_path / "a.json").read_text() == "1\n"


def test_csv_quotes_what_needs_it(tmp_path):
    write_csv(tmp_path / "a.csv", ["item", "reason"], [{"item": "s,1", "reason": 'no "tile"'}])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["item,reason", '"s,1","no ""tile"""']


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".partial-abc-a.h5").write_text("half")
    (tmp_path / "jobs" / ".partial-abc-encoder").mkdir(parents=True)
    (tmp_path / "a.h5").write_text("whole")
    remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.h5", "jobs"]


def test_what_another_process_writes_just_now_is_left_alone(tmp_path):
    mine = temporary_path(tmp_path / "mine.h5")
    token = mine.name.removeprefix(TEMPORARY_MARK)[:12]
    dead = f"{token[:4]}{2**22 - 1 << 10:08x}"  # no process has this number
    names = {"mine": token, "dead": dead, "elsewhere": f"{int(token[:4], 16) ^ 1:04x}{token[4:]}"}
    paths = {name: tmp_path / f"{TEMPORARY_MARK}{token}-{name}.h5" for name, token in names.items()}
    for path in paths.values():
        path.write_text("half")
    remove_partial(tmp_path)
    assert {name for name, path in paths.items() if path.exists()} == {"mine", "elsewhere"}
    for name in names:
        remove_partial_of(tmp_path / f"{name}.h5")
    assert {name for name, path in paths.items() if path.exists()} == {"mine", "elsewhere"}
    os.utime(paths["elsewhere"], (0, 0))
    remove_partial(tmp_path)
    assert {name for name, path in paths.items() if path.exists()} == {"mine"}


def test_temporary_names_are_one_a_file_and_of_one_length(tmp_path):
    names = [temporary_path(tmp_path / "a.h5").name for _ in range(1000)]
    assert len(set(names)) == 1000
    assert {len(name) for name in names} == {len(TEMPORARY_MARK) + 13 + len("a.h5")}


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a") as temporary:
        (temporary / "new").write_text("new")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "old"]
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "new").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "new"]
