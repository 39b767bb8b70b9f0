"""This machine, its processes, and the one clock of a folder that several machines share."""

import os
import tempfile
import time
from functools import cache
from pathlib import Path


def this_machine() -> str:
    """Boot and process namespace, within which a process number means something; empty where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """Start of a process in ticks since boot; empty where there is none (or the system has no /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number."""
    if Path("/proc/self/stat").exists():
        return bool(started(pid))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def shared_time(folder: Path) -> float:
    """Seconds since 1970 by the clock of the folder's file system, which is one for all machines that share it.

    It runs on evenly from the first call on, whatever becomes of the clock meanwhile.
    """
    return time.monotonic() + _ahead_of_monotonic(folder)


def time_of_new_file(folder: Path) -> float:
    """The time that the folder's file system gives a file now."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


@cache
def _ahead_of_monotonic(folder: Path) -> float:
    """Looked up once: this machine's own clock may be wrong, and be set right while the process runs."""
    return time_of_new_file(folder) - time.monotonic()
