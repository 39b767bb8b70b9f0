"""Every writer of the project on a disk that takes no more: one error that names the file, and nothing is lost."""

import ast
import errno
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from feature_meta import feature_meta
from writers import AS, BELOW, NAMES, ROOT, ROWS, SLOW, WRITERS, features, layout

from hage_transfer.cli.main import run
from hage_transfer.data import h5_writing
from hage_transfer.data.feature_file import write_blocks
from hage_transfer.data.feature_journal import ENDING
from hage_transfer.running import atomic
from hage_transfer.running.atomic import NO_ROOM


def test_every_writer_of_the_sources_is_tried():
    found = set()
    for name in ("", *(part.name for part in (ROOT / "hage_transfer").iterdir() if part.is_symlink())):
        for path in (ROOT / "hage_transfer" / name).rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(function, ast.FunctionDef) and function.name not in BELOW:
                    calls = {ast.unparse(one.func) for one in ast.walk(function) if isinstance(one, ast.Call)}
                    if calls & BELOW:
                        found.add(f"{path.relative_to(ROOT).with_suffix('').as_posix()}:{function.name}")
    assert found == {name.split()[0] for name in WRITERS} | set(AS)
    assert set(AS.values()) <= set(WRITERS)


def test_h5_files_are_made_in_one_place():
    """Elsewhere HDF5 would end the process where the disk is full."""
    places = [path for part in ("hage_transfer", "pretrain", "probes", "mil") for path in (ROOT / part).rglob("*.py")]
    made = re.compile(r"""h5py\.File\([^)]*["'](w|a|x|w-|r\+)["']|\.write_h5ad\(temporary""")
    assert len(places) > 300
    assert not [str(path) for path in places if made.search(path.read_text(encoding="utf-8"))]


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def of_limited_files(folder: Path, size: int) -> Iterator[Path]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def of_a_small_disk(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", folder], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        filler = folder / ".filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, os.statvfs(folder).f_bavail * 4096 - size // 4096 * 4096))
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def injected(folder: Path, size: int) -> Iterator[Path]:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        yield folder


DISKS = {"limit": of_limited_files, "tmpfs": of_a_small_disk, "injected": injected}


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("wrong_shapes")
def test_a_full_disk_is_one_error_that_names_the_file_and_leaves_nothing(tmp_path, name, disk):
    write = WRITERS[name]
    (tmp_path / "right").mkdir()
    write(tmp_path / "right")
    made = state(tmp_path / "right")
    for share in (0.5,) if name in SLOW or disk == "injected" else (0.0, 0.5, 0.95):
        (tmp_path / f"{share}").mkdir()
        with DISKS[disk](tmp_path / f"{share}", int(share * max(map(len, made.values())))) as folder:
            with pytest.raises(OSError, match=str(folder)) as raised:
                write(folder)
            assert raised.value.errno in NO_ROOM
            left = {one: data for one, data in state(folder).items() if one != ".filler" and not one.endswith(ENDING)}
            assert not [one for one in left if atomic.TEMPORARY_MARK in one]
            assert left.items() <= made.items()  # of several files, those that were written are whole


LIMITED = (
    "import resource, sys\n"
    "from hage_transfer.cli.main import run\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
    "sys.exit(run(sys.argv[1:]))"
)


@pytest.mark.parametrize("to", ["hage", "clam", "pt"])
def test_a_command_on_a_full_disk_ends_with_2_one_message_and_no_crash(tmp_path, to):
    layout("clam")(tmp_path / "clam")
    command = ["convert", str(tmp_path / "clam"), "--to", to, "--out", str(tmp_path / "out")]
    ended = subprocess.run([sys.executable, "-c", LIMITED, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    (told,) = [line for line in ended.stderr.splitlines() if "error" in line]
    assert str(tmp_path / "out") in told
    assert "raise the limit" in told
    assert len(ended.stderr.splitlines()) <= 2, ended.stderr
    assert run(command) == 0


def test_an_h5_file_that_is_not_whole_is_told_before_its_last_block(tmp_path, monkeypatch):
    taken = []

    def blocks() -> Iterator[np.ndarray]:
        for number in range(100):
            taken.append(number)
            yield ROWS[:30]

    with of_limited_files(tmp_path, 10_000), pytest.raises(OSError, match=r"s\.h5"):
        write_blocks(tmp_path / "s.h5", blocks(), feature_meta("s"), shape=(3000, 16), dtype=ROWS.dtype, keys=NAMES)
    assert len(taken) < 20
    assert not list(tmp_path.iterdir())


def test_an_interrupt_that_meets_hdf5_at_work_is_told_when_it_is_done(tmp_path, monkeypatch):
    """Raised inside, it would be lost or end the process: HDF5 goes on with an error set."""
    for call in range(1, 12):
        met = []

        def seen(data, call=call, met=met):
            met.append(1)
            if len(met) == call:
                os.kill(os.getpid(), signal.SIGINT)
            return memoryview(data)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(h5_writing, "memoryview", seen, raising=False)
            features(tmp_path)
        assert not list(tmp_path.iterdir())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    features(tmp_path)
