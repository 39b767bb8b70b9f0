import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hage_transfer.running import locks
from hage_transfer.running.locks import Owner, holder, leave, try_lock, wait_for_lock

OTHER = Owner("elsewhere", 7, "1", "another machine", 0.0)


def plant(folder, name="a", *, generation=0, owner=OTHER, age_seconds=0.0):
    """A lock of another worker whose last sign of life is so old."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.{generation}.lock"
    path.write_text(json.dumps(asdict(owner)))
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def test_lock_is_held_by_one(tmp_path):
    with try_lock(tmp_path, "a") as lock:
        assert lock.held()
        assert try_lock(tmp_path, "a") is None
        with try_lock(tmp_path, "b") as other:
            assert other is not None
    assert list(tmp_path.iterdir()) == []


def test_lock_says_who_holds_it(tmp_path):
    with try_lock(tmp_path, "a"):
        assert holder(tmp_path, "a").pid == os.getpid()
    assert holder(tmp_path, "a") is None


@pytest.mark.parametrize("name", ["a slide.v1", "größe [1]", "x.0.lock"])
def test_lock_names_may_hold_anything_a_file_name_may(tmp_path, name):
    with try_lock(tmp_path, name):
        assert try_lock(tmp_path, name) is None


def test_lock_names_may_be_as_long_as_a_file_name_may(tmp_path):
    names = ["é" * 127, "é" * 126 + "è", "é" * 126]  # 254 bytes in UTF-8, and six times that where quoted
    held = [try_lock(tmp_path, name) for name in names]
    assert None not in held
    assert all(try_lock(tmp_path, name) is None for name in names)
    assert [holder(tmp_path, name).pid for name in names] == [os.getpid()] * 3
    for lock in held:
        lock.release()
    assert list(tmp_path.iterdir()) == []


def test_lock_with_a_heartbeat_is_not_taken(tmp_path):
    path = plant(tmp_path, age_seconds=50)
    assert try_lock(tmp_path, "a", heartbeat_seconds=10, stale_beats=6) is None
    assert path.exists()


def test_lock_without_a_heartbeat_is_taken_over(tmp_path):
    path = plant(tmp_path, age_seconds=70)
    with try_lock(tmp_path, "a", heartbeat_seconds=10, stale_beats=6) as lock:
        assert lock.held()
        assert not path.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("off_seconds", [-3600.0, 3600.0])
def test_clock_that_is_off_decides_nothing(tmp_path, monkeypatch, off_seconds):
    plant(tmp_path, "alive", age_seconds=1.0)
    plant(tmp_path, "dead", age_seconds=100.0)
    right = time.time
    monkeypatch.setattr(locks.time, "time", lambda: right() + off_seconds)
    assert try_lock(tmp_path, "alive") is None
    with try_lock(tmp_path, "dead") as lock:
        assert lock.held()


def test_lock_of_a_process_of_this_machine_that_is_gone_is_taken_at_once(tmp_path):
    here = replace(locks._self(), pid=2**22 + 1)
    plant(tmp_path, owner=here)
    assert try_lock(tmp_path, "a") is not None


def test_lock_of_a_process_number_given_to_another_process_is_taken_at_once(tmp_path):
    here = replace(locks._self(), pid=os.getppid(), started="1")
    plant(tmp_path, owner=here)
    assert try_lock(tmp_path, "a") is not None


def test_lock_of_a_process_that_had_this_one_s_number_is_taken_at_once(tmp_path):
    plant(tmp_path, owner=replace(locks._self(), started="1"))  # a container that was started again counts from 1
    with try_lock(tmp_path, "a") as lock:
        assert lock.held()


def test_lock_that_was_killed_before_it_said_whose_it_is_goes_stale(tmp_path):
    path = plant(tmp_path, age_seconds=30)
    path.write_text("")
    assert try_lock(tmp_path, "a") is None
    os.utime(path, (0, 0))
    assert try_lock(tmp_path, "a") is not None


def test_heartbeat_renews_the_lock(tmp_path):
    with try_lock(tmp_path, "a", heartbeat_seconds=0.02):
        (path,) = tmp_path.iterdir()
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_holder_that_was_taken_over_knows_and_leaves_the_taker_s_lock(tmp_path):
    slow = try_lock(tmp_path, "a", heartbeat_seconds=60)
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps(asdict(OTHER)))  # as though it were held on another machine
    os.utime(path, (0, 0))
    with try_lock(tmp_path, "a") as taker:
        assert not slow.held()
        slow.release()
        assert taker.held()


def test_release_leaves_a_lock_of_the_same_name_that_is_another_s(tmp_path):
    slow = try_lock(tmp_path, "a", heartbeat_seconds=60)
    plant(tmp_path)
    slow.release()
    assert holder(tmp_path, "a") == OTHER


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_takers_one_wins(tmp_path, stale):
    for turn in range(30):
        name = f"item {turn}"
        if stale:
            plant(tmp_path, name, age_seconds=1000)
        start = threading.Barrier(8)

        def take(_, name=name, start=start):
            start.wait()
            return try_lock(tmp_path, name)

        with ThreadPoolExecutor(8) as pool:
            won = [lock for lock in pool.map(take, range(8)) if lock is not None]
        assert len(won) == 1
        won[0].release()


def test_folder_that_another_removes_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    made, mkdir = [], Path.mkdir

    def gone_at_once(self, *arguments, **options):
        made.append(self)
        if len(made) == 1:  # as pathlib does where the folder was there, and is none when it looks
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", gone_at_once)
    lock = try_lock(tmp_path / "locks", "slide")
    assert lock is not None and made == [tmp_path / "locks"] * 2
    lock.release()


def test_taker_that_looked_too_early_steps_back(tmp_path, monkeypatch):
    """It saw a stale lock; before it takes it, the lock was taken, given back, and taken anew as generation 0."""
    stale = plant(tmp_path, age_seconds=1000)
    really = locks._is_stale
    fresh = []

    def late(path, limit):
        answer = really(path, limit)
        if not fresh:
            stale.unlink()
            fresh.append(try_lock(tmp_path, "a"))
        return answer

    monkeypatch.setattr(locks, "_is_stale", late)
    assert try_lock(tmp_path, "a") is None
    assert fresh[0].held()
    fresh[0].release()


COUNT = """
import sys, pathlib
from hage_transfer.running.locks import wait_for_lock
folder = pathlib.Path(sys.argv[1])
for _ in range(50):
    with wait_for_lock(folder / "locks", "sum", poll_seconds=0.001):
        total = int((folder / "total").read_text())
        (folder / "total").write_text(str(total + 1))
"""


def test_processes_never_overlap(tmp_path):
    (tmp_path / "total").write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
    assert (tmp_path / "total").read_text() == "150"


def test_wait_for_lock_takes_it_when_it_is_free(tmp_path):
    first = try_lock(tmp_path, "a")
    threading.Timer(0.1, first.release).start()
    with wait_for_lock(tmp_path, "a", poll_seconds=0.01) as second:
        assert second.held()


def test_leave_removes_an_empty_folder_alone(tmp_path):
    folder = tmp_path / "locks"
    with try_lock(folder, "a"):
        leave(folder)
        assert folder.exists()
    leave(folder)
    assert not folder.exists()


def test_a_lock_may_be_named_by_a_path(tmp_path):
    lock = try_lock(tmp_path, "data/pcam set")
    assert lock is not None
    assert try_lock(tmp_path, "data/pcam set") is None
    lock.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("jump_seconds", [-86400.0, 86400.0], ids=["back a day", "on a day"])
def test_a_clock_that_jumps_takes_no_lock_from_the_living(tmp_path, monkeypatch, jump_seconds):
    """The holder beats on, in another year; who waits began before the jump."""
    locks.shared_time(tmp_path)
    plant(tmp_path / "locks")
    monkeypatch.setattr(locks, "time_of_new_file", lambda _: time.time() + jump_seconds)
    beat = time.time() + jump_seconds
    os.utime(tmp_path / "locks" / "a.0.lock", (beat, beat))
    assert try_lock(tmp_path / "locks", "a") is None


def test_a_lock_without_a_beat_is_stale_by_the_clock_before_and_after(tmp_path):
    plant(tmp_path / "locks", age_seconds=3600)
    with try_lock(tmp_path / "locks", "a") as lock:
        assert lock.held()
