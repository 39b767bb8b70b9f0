"""Progress: the caller's own, a bar where somebody looks, a line in the log where not; nothing on standard output."""

import io
import logging
import re
import sys
import time
import types

import pytest

from hage_transfer.cli import printed
from hage_transfer.running import progress
from hage_transfer.running.job import Job
from hage_transfer.running.jobs import run_jobs
from hage_transfer.running.progress import Shown, shown, stage
from hage_transfer.running.ticks import tick
from hage_transfer.running.workload import Workload


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


def terminal(monkeypatch):
    """Standard error, a terminal of 80 columns."""

    class Screen(io.StringIO):
        def isatty(self):
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    return screen


def test_a_bar_is_on_standard_error_of_a_terminal(monkeypatch, capsys):
    screen = terminal(monkeypatch)
    with shown("work") as tell:
        time.sleep(0.3)
        tell_all(tell)
    assert "work: loading libraries" in screen.getvalue()
    assert "3 of 3" in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_a_bar_whose_first_part_has_ended_keeps_its_clock(monkeypatch):
    screen = terminal(monkeypatch)
    with shown("work") as tell:
        tell_all(tell)
        time.sleep(1.1)
        tell.stage("tables")
        time.sleep(0.3)
    assert "0:00:01" in screen.getvalue()


def test_what_has_no_room_beside_the_time_left_is_cut_from_the_name_alone(monkeypatch):
    screen = terminal(monkeypatch)
    with progress._bar("work") as show:
        show(3.5, 9, "work: D2 neighbourhood_heads trial 1 of frozen and standardised features", 1571)
        time.sleep(0.3)
    lines = re.split(r"[\r\n]", re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", screen.getvalue()))
    line = next(one for one in lines if "3 of 9" in one)
    assert re.search(r"work: D2 neighb.*\u2026 .* 3 of 9 \(39 %\), about 26 min 11 s left 0:00:0\d$", line), line
    assert len(line) <= 80


def test_messages_and_the_bar_are_written_by_one_console(monkeypatch):
    screen = terminal(monkeypatch)  # by two, a message begins in the middle of the bar's line
    monkeypatch.setattr(logging.getLogger(), "handlers", [printed.log_handler()])
    with shown("work") as tell:
        tell_all(tell)
        logging.getLogger("hage_transfer").warning("said")
    drawn = re.sub(r"\x1b\[(?![\dA-Z]*[K])[\d;?]*[a-zA-Z]", "", screen.getvalue())
    assert re.search(r"(\x1b\[2K|\r)\d\d:\d\d:\d\d said", drawn), drawn


def test_a_notebook_has_one_output_that_is_written_over_and_empty_at_the_end(monkeypatch, capsys):
    told = []

    class Output:
        def update(self, data, *, raw):
            told.append(data["text/plain"])

    def display(data, *, raw, display_id):
        told.append(data["text/plain"])
        return Output()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = object
    monkeypatch.setattr(progress, "_FRAME_SECONDS", 0)
    for name, module in (
        ("ipykernel", types.ModuleType("ipykernel")),
        ("IPython", ipython),
        ("IPython.display", types.SimpleNamespace(display=display)),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    with shown("work") as tell:
        tell_all(tell)
    assert told[0] == "work"
    assert told[-2:] == ["work: item 3 3 of 3", ""]
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def quick_log(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.02)
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.05)
    caplog.set_level(logging.INFO, logger="hage_transfer")
    return caplog


def said_within_a_second(log, *words):
    until = time.monotonic() + 1
    while not any(all(word in line for word in words) for line in log.messages):
        assert time.monotonic() < until, log.messages
        time.sleep(0.01)


def test_long_work_says_in_the_log_how_far_it_is(quick_log):
    with shown("encode") as tell:
        for number in range(1, 4):
            time.sleep(0.01)
            tell(number, 50, f"s{number}")
        said_within_a_second(quick_log, "encode: s3, 3 of 50, about", " left")
    lines = len(quick_log.messages)
    time.sleep(0.1)
    assert len(quick_log.messages) == lines  # nothing is said of work that is over


def test_work_that_says_nothing_is_in_the_log_all_the_same(quick_log):
    with shown("probe") as tell:
        said_within_a_second(quick_log, "probe: loading libraries, ", " so far")
        with shown("encode", tell) as inside:
            inside(1, 1, "set")
            said_within_a_second(quick_log, "probe, encode: set, 1 of 1, ", " so far")
        stage(tell, "intervals")
        said_within_a_second(quick_log, "probe: intervals, ", " so far")


def test_the_time_left_goes_by_the_steps_of_a_job_and_not_by_what_was_done_before(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr(
        progress, "time", types.SimpleNamespace(monotonic=lambda: now[0])
    )  # not the whole process's clock
    tell = Shown("mil", lambda done, total, name, left: told.append(left))
    tell.kept(4, 10)
    for second in range(1, 13):  # two seconds to load, then a tenth of a job a second
        now[0] = 1.0 + second
        tell.within(4 + second / 10, 10, "hage trial 4")
    assert told[-1] == pytest.approx(48)
    assert max(left for left in told[2:]) < 60
    tell(1, 3, "other work")
    assert told[-1] is None


@pytest.mark.parametrize("step_s", [0.25, 1, 2])
@pytest.mark.parametrize("n_jobs", [1, 2, 4])
@pytest.mark.parametrize(("n", "later"), [(3, 0.0), (5, 0.5), (40, 0.0)])
def test_the_time_left_is_right_from_a_tenth_on_however_many_work(monkeypatch, n, later, n_jobs, step_s):
    """Jobs of 100 s each after 30 s of reading, which say every few seconds how far they are."""
    now, told, names = [0.0], [], [f"j{k}" for k in range(n)]
    monkeypatch.setattr(
        progress, "time", types.SimpleNamespace(monotonic=lambda: now[0])
    )  # not the whole process's clock
    tell = Shown("mil", lambda done, total, name, left: told.append((now[0], left)))
    work, begun, ended = Workload(dict.fromkeys(names, 1.0), n_jobs=n_jobs, later=later), {}, 0
    now[0] = 30.0
    while ended < n:
        for name in names[ended : ended + n_jobs]:
            begun.setdefault(name, now[0])
        now[0] += step_s
        for name, at in list(begun.items()):
            share = (now[0] - at) / 100
            if share >= 1:
                del begun[name]
                work.end(name)
                ended += 1
                tell.within(ended, n, name, left=work.left())
            elif name in names[ended:]:
                work.running[name] = share
                tell.within(
                    ended + min(sum(work.running.values()), len(work.running) - 1e-6), n, name, left=work.left()
                )
    whole = now[0] + 100 * later
    judged = [left / (whole - at) for at, left in told if at >= whole / 10 and left is not None and at < whole - 10]
    first = next(at for at, left in told if left is not None)
    assert first <= max(whole / 10, 36 + step_s)  # a twentieth of a job after what comes before the first step
    assert 0.6 < min(judged) <= max(judged) < 1.7


@pytest.mark.parametrize(
    ("n_jobs", "shares", "left"),
    [(1, {}, 3.0), (2, {}, 2.0), (2, {"a": 0.5}, 1.5), (2, {"a": 0.5, "b": 0.25}, 1.5), (3, {"a": 0.9}, 1.0)],
)
def test_what_is_left_of_shared_jobs_is_what_the_last_worker_has(n_jobs, shares, left):
    work = Workload(dict.fromkeys("abc", 1.0), n_jobs=n_jobs, later=0.25)
    work.running.update(shares)
    assert work.left() == pytest.approx(left + 0.25)
    work.end("a")
    work.end("b")
    work.end("c")
    assert work.left() == 0.25


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
