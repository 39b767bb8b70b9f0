from pathlib import Path

import pytest

from hage_transfer.errors import DataError
from hage_transfer.jobs import Job, run_jobs


def touch(path: Path) -> None:
    path.write_text(path.read_text() + "x" if path.exists() else "x")


def fail(path: Path) -> None:
    error = DataError("no tile")
    error.add_note("slide s1")
    raise error


def bug(path: Path) -> None:
    raise ZeroDivisionError


def jobs(folder: Path, *functions: object) -> list[Job]:
    return [Job(str(i), folder / str(i), function, (folder / str(i),)) for i, function in enumerate(functions)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_done_job_is_not_run_again(tmp_path, n_jobs):
    assert dict(run_jobs(jobs(tmp_path, touch, touch), n_jobs=n_jobs)) == {"0": None, "1": None}
    (tmp_path / "1").unlink()
    assert dict(run_jobs(jobs(tmp_path, touch, touch), n_jobs=n_jobs)) == {"1": None}
    assert (tmp_path / "0").read_text() == "x"


def test_a_failing_job_gives_its_reason_and_the_others_go_on(tmp_path):
    assert dict(run_jobs(jobs(tmp_path, fail, touch))) == {"0": "no tile; slide s1", "1": None}


def test_a_bug_ends_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError):
        list(run_jobs(jobs(tmp_path, bug, touch)))
