"""Locks for several workers, on one machine or many, that share a folder: one file a lock, with a heartbeat.

A lock is ``<folder>/<name>.<generation>.lock``, created exclusively, its time of change renewed by its holder. It is
stale when its holder is a process of this machine that is gone, or when its heartbeat stopped. A stale lock is never
renamed or removed first, since two takers could then follow one another: it is taken over by creating the next
generation exclusively, which one taker alone can do.
"""

import hashlib
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from hage_transfer.running.machine import shared_time, started, this_machine, time_of_new_file

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
STALE_BEATS = 6
"""Heartbeats that a holder may miss."""
_ATTEMPTS = 5
_MAX_STEM, _HASH_LENGTH = 200, 32
"""File systems take names of 255 bytes; the rest is for generation and ending."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        host: machine, for people.
        pid: process.
        started: when the process began, ticks since boot, so that another process of the same number is not taken for
            it; empty where the system does not say.
        machine: boot and process namespace, within which ``pid`` means something; empty where not known.
        time: seconds since 1970 when the lock was taken.
    """

    host: str
    pid: int
    started: str
    machine: str
    time: float


class Lock:
    """A lock that this process holds; release it, or use it as a context."""

    def __init__(self, path: Path, owner: Owner, *, heartbeat_seconds: float) -> None:
        self._path, self._owner = path, owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(heartbeat_seconds,), name="heartbeat", daemon=True)
        self._thread.start()

    def held(self) -> bool:
        """Whether no one took it over: look before what is written cannot be taken back."""
        return _owner(self._path) == self._owner and not self._next().exists()

    def release(self) -> None:
        """Gives it back; a lock that was taken over is the taker's and stays."""
        self._stop.set()
        self._thread.join()
        if _owner(self._path) == self._owner:
            self._path.unlink(missing_ok=True)

    def _next(self) -> Path:
        name, generation, ending = self._path.name.rsplit(".", 2)
        return self._path.with_name(f"{name}.{int(generation) + 1}.{ending}")

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _beat(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            if not self.held():
                log.warning("%s: taken over by another worker, since this one showed no life", self._path.name)
                return
            try:
                os.utime(self._path)
            except FileNotFoundError:
                return


def try_lock(
    folder: Path, name: str, *, heartbeat_seconds: float = HEARTBEAT_SECONDS, stale_beats: int = STALE_BEATS
) -> Lock | None:
    """Takes a lock that is free or stale; None where another worker holds it.

    Args:
        folder: shared by all workers.
        name: what is locked.
        heartbeat_seconds: between signs of life.
        stale_beats: after so many without one a lock may be taken over.
    """
    _make(folder)
    for attempt in range(_ATTEMPTS):
        path, owner = _take(folder, name, heartbeat_seconds * stale_beats)
        if path is None:
            return None
        if owner is not None:
            return Lock(path, owner, heartbeat_seconds=heartbeat_seconds)
        time.sleep(0.01 * (attempt + 1) * (1 + os.getpid() % 7))  # unlike for each, so that one comes first
    return None


def _take(folder: Path, name: str, limit_seconds: float) -> tuple[Path | None, Owner | None]:
    """One attempt: path and owner where taken; no path where another holds it; no owner where it is to be repeated."""
    stale = {one: _identity(_path(folder, name, one)) for one in _generations(folder, name)}
    if not all(_is_stale(_path(folder, name, one), limit_seconds) for one in stale):
        return None, None
    path, owner = _path(folder, name, max(stale, default=-1) + 1), _self()
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None, None  # another taker was first
    except FileNotFoundError:
        _make(folder)  # another worker was the last to leave and removed it
        return path, None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(owner), file)
    # A worker that looked before the last holder let go may create a generation beside a fresh lock: of two that are
    # created, at least one sees the other here and leaves.
    others = {one: _identity(_path(folder, name, one)) for one in _generations(folder, name)}
    if any(_path(folder, name, one) != path and stale.get(one) != identity for one, identity in others.items()):
        path.unlink(missing_ok=True)
        return path, None
    for one in stale:
        log.info("lock %s: its holder is gone; taken over", name)
        _path(folder, name, one).unlink(missing_ok=True)
    return path, owner


def wait_for_lock(
    folder: Path,
    name: str,
    *,
    told: str = "",
    poll_seconds: float = 0.05,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> Lock:
    """Takes a lock as soon as it is free; for work of moments that must not overlap.

    Args:
        folder: shared by all workers.
        name: what is locked.
        told: what the log says, once, where another holds it; work of moments says nothing.
        poll_seconds: between looks.
        heartbeat_seconds: between signs of life.
    """
    while True:
        lock = try_lock(folder, name, heartbeat_seconds=heartbeat_seconds)
        if lock is not None:
            return lock
        owner = holder(folder, name)
        if told and owner is not None:
            log.info("%s: process %d on %s is at work on it; %s", name or folder, owner.pid, owner.host, told)
            told, poll_seconds = "", max(poll_seconds, 0.5)
        time.sleep(poll_seconds)


def holder(folder: Path, name: str) -> Owner | None:
    """Who holds a lock; None where it is free or its file says nothing (yet)."""
    generations = _generations(folder, name)
    return _owner(_path(folder, name, max(generations))) if generations else None


def locked(folder: Path, names: Iterable[str]) -> set[str]:
    """Those of ``names`` that have a lock, of the living or of the dead."""
    try:
        stems = {entry.rsplit(".", 2)[0] for entry in os.listdir(folder)}  # noqa: PTH208 - names alone, many times
    except FileNotFoundError:
        return set()
    return {name for name in names if _stem(name) in stems}


def leave(folder: Path) -> None:
    """Removes the folder of locks where no one holds one any more."""
    with suppress(OSError):  # not empty, or gone
        folder.rmdir()


def _make(folder: Path) -> None:
    with suppress(FileExistsError):  # it was there, and went before `mkdir` had looked whether it is a folder
        folder.mkdir(parents=True, exist_ok=True)


def _path(folder: Path, name: str, generation: int) -> Path:
    return folder / f"{_stem(name)}.{generation}.lock"


def _stem(name: str) -> str:
    """The name as a file may be called: it may be a path, and a letter that is not ASCII takes six to twelve bytes."""
    quoted = quote(name, safe="")
    if len(quoted) <= _MAX_STEM:
        return quoted
    return f"{quoted[: _MAX_STEM - _HASH_LENGTH - 1]}-{hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]}"


def _generations(folder: Path, name: str) -> list[int]:
    pattern = re.compile(re.escape(_stem(name)) + r"\.(\d+)\.lock")
    try:
        found = [pattern.fullmatch(entry) for entry in os.listdir(folder)]  # noqa: PTH208 - names alone, many times
    except FileNotFoundError:
        return []
    return [int(match[1]) for match in found if match]


def _identity(path: Path) -> tuple[int, int] | None:
    """Differs from that of any other file that had this name before or after; None where there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _is_stale(path: Path, limit_seconds: float) -> bool:
    """Whether a lock's holder is gone. One that vanishes while it is looked at was released, so it holds no one up."""
    try:
        changed = path.stat().st_mtime
    except FileNotFoundError:
        return True
    age = shared_time(path.parent.parent) - changed
    owner, here = _owner(path), _self()
    if owner is not None and owner.machine and owner.machine == here.machine:
        if (owner.pid, owner.started) == (here.pid, here.started):
            return False  # this process itself holds it
        if started(owner.pid) != owner.started:
            return True
    # By the clock of this process and by that of now: one that was set meanwhile makes no lock of the living old.
    return age > limit_seconds and time_of_new_file(path.parent.parent) - changed > limit_seconds


def _owner(path: Path) -> Owner | None:
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # gone, or killed before it was written


def _self() -> Owner:
    return Owner(socket.gethostname(), os.getpid(), started(os.getpid()), this_machine(), time.time())
