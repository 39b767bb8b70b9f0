import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from hage_transfer.errors import ConfigError, DataError, reason
from hage_transfer.running.job import Job
from hage_transfer.running.jobs import run_jobs
from hage_transfer.running.process_engine import kept_workers


def touch(path: Path) -> None:
    path.write_text(path.read_text() + "x" if path.exists() else "x")


def fail(path: Path) -> None:
    error = DataError("no tile")
    error.add_note("slide s1")
    raise error


def bug(path: Path) -> None:
    raise ZeroDivisionError


def die_once(path: Path) -> None:
    tried = path.with_suffix(".tried")
    if not tried.exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    touch(path)


def die(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow_touch(path: Path) -> None:
    """Waits until another worker has died beside it, which would break a pool that both share."""
    while not list(path.parent.glob("*.tried")):
        time.sleep(0.05)
    time.sleep(1)
    touch(path)


def die_when_done(path: Path) -> None:
    touch(path)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_end(pid: int) -> None:
    """Of a worker, which loky takes leave of."""
    deadline = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.01)
        pytest.fail(f"worker {pid} still runs")


def jobs(folder: Path, *functions: object) -> list[Job]:
    return [Job(str(i), folder / str(i), function, (folder / str(i),)) for i, function in enumerate(functions)]


def ended(found) -> dict[str, str | None]:
    return {one.name: None if one.error is None else reason(one.error) for one in found}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_done_job_is_not_run_again(tmp_path, n_jobs):
    assert ended(run_jobs(jobs(tmp_path, touch, touch), n_jobs=n_jobs)) == {"0": None, "1": None}
    (tmp_path / "1").unlink()
    assert ended(run_jobs(jobs(tmp_path, touch, touch), n_jobs=n_jobs)) == {"1": None}
    assert (tmp_path / "0").read_text() == "x"


def test_a_failing_job_gives_its_reason_and_the_others_go_on(tmp_path):
    assert ended(run_jobs(jobs(tmp_path, fail, touch))) == {"0": "no tile; slide s1", "1": None}


def test_a_bug_ends_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError):
        list(run_jobs(jobs(tmp_path, bug, touch)))


def test_a_killed_worker_loses_its_own_job_alone_which_is_tried_again(tmp_path):
    assert ended(run_jobs(jobs(tmp_path, die_once, slow_touch, touch), n_jobs=2)) == dict.fromkeys("012")
    assert [(tmp_path / name).read_text() for name in "012"] == ["x", "x", "x"]


def test_a_job_whose_worker_dies_again_fails_with_that_reason_and_the_others_go_on(tmp_path):
    outcome = ended(run_jobs(jobs(tmp_path, die, touch, touch), n_jobs=2))
    assert "killed 2 times" in (outcome.pop("0") or "")
    assert outcome == dict.fromkeys("12")


def test_a_worker_killed_after_its_job_was_done_leaves_it_done(tmp_path):
    assert ended(run_jobs(jobs(tmp_path, die_when_done, touch), n_jobs=2)) == dict.fromkeys("01")
    assert (tmp_path / "0").read_text() == "x"


def test_a_bug_in_a_worker_ends_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError):
        list(run_jobs(jobs(tmp_path, bug, touch), n_jobs=2))


def test_ray_that_is_not_installed_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'hage-transfer\[ray\]'"):
        list(run_jobs(jobs(tmp_path, touch), engine="ray"))


@pytest.fixture(scope="module")
def ray():
    """A local cluster of two workers for the tests of this file."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'hage-transfer[ray]'")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not import test files
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


def test_lists_of_one_call_share_a_worker_that_ends_with_it_and_a_killed_one_is_replaced():
    def worker() -> int:
        (one,) = run_jobs([Job("a", None, os.getpid, ())], n_jobs=2)
        return one.result

    with kept_workers():
        first = worker()
        with kept_workers():
            assert worker() == first
        os.kill(first, signal.SIGKILL)
        wait_for_end(first)
        second = worker()
        assert second != first
        assert worker() == second
    wait_for_end(second)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_runs_jobs_once_and_gives_reasons(ray, tmp_path):
    outcome = ended(run_jobs(jobs(tmp_path, touch, fail), engine="ray"))
    assert outcome == {"0": None, "1": "no tile; slide s1"}
    assert ended(run_jobs(jobs(tmp_path, touch), engine="ray")) == {}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_tries_the_job_of_a_killed_worker_again_and_keeps_the_others(ray, tmp_path):
    assert ended(run_jobs(jobs(tmp_path, die_once, slow_touch), engine="ray")) == dict.fromkeys("01")
    assert "killed 2 times" in (ended(run_jobs(jobs(tmp_path / "again", die), engine="ray"))["0"] or "")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_bug_on_ray_ends_the_run(ray, tmp_path):
    with pytest.raises(ZeroDivisionError):
        list(run_jobs(jobs(tmp_path, bug), engine="ray"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_that_does_not_answer_is_an_error_that_names_it(tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'hage-transfer[ray]'")
    call = (
        "import os; from pathlib import Path; from hage_transfer.running.job import Job\n"
        "from hage_transfer.running.jobs import run_jobs\n"
        "list(run_jobs([Job('0', Path('never'), os.getpid, ())], engine='ray', address='127.0.0.1:1'))"
    )
    ended = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "ConfigError: address=127.0.0.1:1" in ended.stderr
