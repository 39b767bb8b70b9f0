"""Progress: the caller's own, a bar where somebody looks, a line in the log where not; nothing on standard output."""

import io
import logging
import sys
import time
import types

import pytest

from hage_transfer.running import progress
from hage_transfer.running.job import Job
from hage_transfer.running.jobs import run_jobs
from hage_transfer.running.progress import Shown, shown
from hage_transfer.running.ticks import tick


def tell_all(tell) -> None:
    for number in range(1, 4):
        tell(number, 3, f"item {number}")


def test_the_caller_s_progress_is_told_and_nothing_is_shown(capsys):
    told = []
    with shown("work", lambda *now: told.append(now)) as tell:
        tell_all(tell)
    assert told == [(1, 3, "item 1"), (2, 3, "item 2"), (3, 3, "item 3")]
    assert capsys.readouterr() == ("", "")


def test_nothing_is_shown_where_nobody_looks(capsys):
    with shown("work") as tell:
        tell_all(tell)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("where", ["terminal", "notebook"])
def test_a_bar_is_on_standard_error_where_somebody_looks(monkeypatch, capsys, where):
    class Screen(io.StringIO):
        def isatty(self):
            return where == "terminal"

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    if where == "notebook":
        monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    with shown("work") as tell:
        tell_all(tell)
    assert "work" in screen.getvalue()
    assert "3 of 3" in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_long_work_says_in_the_log_how_far_it_is(monkeypatch, caplog):
    clock = iter([0.0, 0.0, 5.0, 5.0, 12.0, 12.0, 30.0, 30.0, 75.0, 75.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="hage_transfer"), shown("encode") as tell:
        for number in range(1, 5):
            tell(number, 5, f"s{number}")
    assert caplog.messages == [
        "encode: s2, 2 of 5, about 18 s left",
        "encode: s4, 4 of 5, about 19 s left",
    ]


def test_the_time_left_goes_by_the_steps_of_a_job_and_not_by_what_was_done_before(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    tell = Shown("mil", lambda done, total, name, left: told.append(left))
    tell.kept(4, 10)
    for second in range(1, 13):  # two seconds to load, then a tenth of a job a second
        now[0] = 1.0 + second
        tell.within(4 + second / 10, 10, "hage trial 4")
    assert told[-1] == pytest.approx(48)
    assert max(left for left in told[2:]) < 60
    tell(1, 3, "other work")
    assert told[-1] is None


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_job_s_steps_reach_the_caller_from_this_process_and_from_a_worker(tmp_path, n_jobs):
    heard = []
    jobs = [Job(f"j{k}", tmp_path / f"j{k}", step_slowly, (tmp_path / f"j{k}",)) for k in range(2)]
    assert all(one.error is None for one in run_jobs(jobs, n_jobs=n_jobs, told=lambda *now: heard.append(now)))
    assert {name for name, _ in heard} == {"j0", "j1"}
    assert all(0 < share <= 1 for _, share in heard)


def step_slowly(done):
    for step in range(1, 4):
        tick(step / 4)
        time.sleep(0.6)
    done.touch()
