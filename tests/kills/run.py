"""Kills every command with `kill -9`, runs it again, and compares what it made with an undisturbed run's: `make kills`.

    python tests/kills/run.py --kills 100 --full-disk 10

Commands run in forks of this process, which has loaded the libraries, so that what is killed is work and not imports.
Moments are spread evenly over each command's own time. A file that two undisturbed runs do not agree on is not
compared; its name is printed.
"""

import argparse
import contextlib
import importlib
import importlib.util
import logging
import os
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

HERE = Path(__file__).resolve()
FILLER = "filler"
JOB = re.compile(r"(?<=-)[0-9a-f]{16}(?=\.)")  # in names of jobs, of when their inputs were written
TIMES = re.compile(r'"(seconds|time)": [0-9.e+-]+')


def bench(root: Path) -> None:
    """The small data set of the tests of commands, three slides, and runs for the commands that read runs."""
    sys.path.insert(0, str(HERE.parents[1] / "plugins"))  # of helpers that tests share
    spec = importlib.util.spec_from_file_location("bench", HERE.parents[1] / "cli" / "conftest.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    found.Bench(root)
    from hage_transfer.demo.slides import write_pyramid

    rng = np.random.default_rng(0)
    for path in (root / "st" / "ST-imgs").rglob("*.jpg"):  # white ones have no principal components
        Image.fromarray(rng.integers(0, 255, (160, 160, 3), dtype=np.uint8)).save(path)
    for number in range(3):
        image = np.full((512, 512, 3), 240, np.uint8)
        image[64:-64, 64:-64] = np.clip(np.array([200, 110, 165]) + rng.integers(-40, 40, (384, 384, 1)), 0, 255)
        write_pyramid(root / "slides" / f"w{number}.tif", image)
    (root / "slides.csv").write_text("slide,label,group\nw0,a,p\nw1,b,q\nw2,a,r\n")
    data = {"layout": "slides", "root": str(root / "slides"), "labels": str(root / "slides.csv"), "tile_px": 64}
    data |= {"mpp_um_per_px": 0.5, "min_tissue": 0.5}
    (root / "slides.yaml").write_text(yaml.safe_dump({"data": data, "encoder": {"batch_size": 4}}))
    tasks = {"patches": {"task": "probe", "recipe": str(root / "probe.yaml")}}
    (root / "compare.yaml").write_text(
        yaml.safe_dump({"pretrain": {"recipe": str(root / "pretrain.yaml")}, "tasks": tasks})
    )


def commands() -> dict[str, list[str]]:
    """Command lines; OUT is where each writes."""
    cpu = ["--device", "cpu"]
    return {
        "pretrain": ["pretrain", "pretrain.yaml", *cpu, "--set", "train.epochs=6", "--out", "OUT"],
        "encode st": ["encode", "st", "pretrain.yaml", *cpu, "--set", "features=OUT"],
        "encode patches": ["encode", "patches", "probe.yaml", *cpu, "--set", "features=OUT"],
        "encode slides": ["encode", "slides", "slides.yaml", *cpu, "--set", "features=OUT"],
        "mil": ["mil", "mil.yaml", *cpu, "--set", "train.epochs=30", "--out", "OUT"],
        "probe": ["probe", "probe.yaml", *cpu, "--set", "split.folds=2", "--out", "OUT"],
        "embed": ["embed", "features", "--encoder", "runs/pretrain/encoder", *cpu, "--out", "OUT"],
        "predict": ["predict", "pretrain.yaml", "--encoder", "runs/pretrain", *cpu, "--n-maps", "0", "--out", "OUT"],
        "apply": ["apply", "runs/mil", "bags", *cpu, "--out", "OUT"],
        "heatmap": ["heatmap", "runs/mil", *cpu, "--out", "OUT"],
        "tissue": ["tissue", "slides.yaml", "--out", "OUT"],
        "convert": ["convert", "bags", "--to", "clam", "--out", "OUT"],
        "report": ["report", "runs/mil", "runs/pretrain", "--out", "OUT"],
        "compare": [
            *("compare", "compare.yaml", *cpu, "--out", "OUT", "--set", "pretrain.changes.features=OUT/own/st"),
            *(
                "--set",
                "tasks.patches.changes.split.folds=2",
                "--set",
                "tasks.patches.changes.features=OUT/own/patches",
            ),
        ],
    }


def load() -> None:
    """Everything that commands import, once."""
    import hage_transfer

    warnings.simplefilter("ignore")
    for module in pkgutil.walk_packages(hage_transfer.__path__, "hage_transfer."):
        with contextlib.suppress(Exception):
            importlib.import_module(module.name)
    for name in ("lightning.pytorch", "scanpy", "matplotlib.pyplot", "gensim.models", "sklearn.linear_model"):
        importlib.import_module(name)


def start(line: list[str], out: Path, log: Path) -> int:
    """Forks a process that runs a command; its number."""
    pid = os.fork()
    if pid:
        return pid
    with contextlib.suppress(BaseException):
        for number in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        from hage_transfer.cli.main import run

        code = 1
        try:
            code = run([part.replace("OUT", str(out)) for part in line])
        except BaseException:
            logging.getLogger().exception("a traceback")
        os._exit(code)
    os._exit(99)


def ended(pid: int) -> int:
    """Exit code of a process; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_after(pid: int, seconds: float, disk: Path | None) -> bool:
    """Kills a process at its moment; whether it was there to be killed, and ``disk`` (if any) was full then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.002)
    if disk is not None:
        fill(disk)
        time.sleep(0.005)  # in which it may run into it
        fill(disk)  # what it gave up meanwhile
    full = disk is None or os.statvfs(disk).f_bavail == 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return ended(pid) == -signal.SIGKILL and full


def fill(disk: Path) -> None:
    """Takes all the room that is left on a file system."""
    while left := os.statvfs(disk).f_bavail * 4096:
        with (disk / FILLER).open("ab") as file, contextlib.suppress(OSError):  # less by now
            os.posix_fallocate(file.fileno(), file.tell(), left)


def made(out: Path) -> dict[str, bytes]:
    """Every file below a folder, times and the folder's own name aside."""
    found = {}
    left_out = re.compile(r"log\.txt|events\.out\.tfevents.*")  # the last names process and time
    for path in sorted(one for one in out.rglob("*") if one.is_file() and not left_out.fullmatch(one.name)):
        data = path.read_bytes().replace(str(out).encode(), b"OUT")
        name = JOB.sub("", str(path.relative_to(out)))
        while name in found:
            name += ", another"
        found[name] = TIMES.sub("", data.decode("latin-1")).encode("latin-1")
    return found


def main() -> int:
    """Kills, compares, prints a table; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="over all commands")
    parser.add_argument("--full-disk", type=int, default=10, help="more, each on a disk that is full")
    parser.add_argument("--only", help="some commands, with commas between them")
    given = parser.parse_args()
    load()
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    bench(root)
    os.chdir(root)
    logging.disable(logging.NOTSET)
    lines = {name: line for name, line in commands().items() if given.only is None or name in given.only.split(",")}
    for name in ("pretrain", "mil"):  # whose runs others read
        assert ended(start(commands()[name], root / "runs" / name, root / "log")) == 0, (root / "log").read_text()
    each, wrong = -(-given.kills // len(lines)), 0
    left = given.full_disk
    for name, line in lines.items():
        wrong += one(name, line, root, kills=each, full=-(-left // len(lines)) if left else 0)
    shutil.rmtree(root)
    return int(wrong > 0)


def one(name: str, line: list[str], root: Path, *, kills: int, full: int) -> int:
    """Kills one command so often, and prints a line of the table; the number of runs that differ."""
    out, log = root / "out", root / "log"
    seconds, whole = np.inf, []  # of the fastest undisturbed run: the machine may be busy
    for _ in range(2):
        shutil.rmtree(out, ignore_errors=True)
        log.write_text("")
        begun = time.monotonic()
        code = ended(start(line, out, log))
        seconds = min(seconds, time.monotonic() - begun)
        if code != 0:
            print(f"  {name}: exit {code}: {log.read_text()[-1500:]}", flush=True)
            return 1
        whole.append(made(out))
    right, second = whole
    unsteady = sorted(path for path in right if right[path] != second.get(path))
    hit = hit_full = wrong = 0
    for number in range(kills + full):
        is_full = number >= kills
        share = (number - kills + 0.5) / full if is_full else (number + 0.5) / kills
        log.write_text("")
        with contextlib.ExitStack() as stack:
            shutil.rmtree(out, ignore_errors=True)
            if is_full:
                stack.enter_context(small_disk(out))
            for attempt in range(5):  # it may have ended before its moment, or by the full disk
                empty(out)
                begun = time.monotonic()
                moment = share * seconds * (0.9**attempt if is_full else 1)
                if killed_after(start(line, out, log), moment, out if is_full else None):
                    hit, hit_full = hit + (not is_full), hit_full + is_full
                    break
                seconds = seconds if is_full else min(seconds, time.monotonic() - begun)
            (out / FILLER).unlink(missing_ok=True)
            codes = [ended(start(line, out, log))]
            found = made(out)
        differ = [path for path in {*right, *found} if path not in unsteady and right.get(path) != found.get(path)]
        if differ or codes != [0] or "a traceback" in log.read_text():
            wrong += 1
            print(f"  {name} at {share:.0%}: exit {codes}, differ {differ[:5]} {log.read_text()[-500:]}", flush=True)
    print(
        f"| {name} | {seconds:.2f} | {hit} of {kills} | {hit_full} of {full} | {len(right) - len(unsteady)} | "
        f"{wrong} | {', '.join(unsteady[:4])} |",
        flush=True,
    )
    return wrong


def empty(folder: Path) -> None:
    """Removes what is in a folder, which may be a file system of its own."""
    for path in folder.glob("*"):
        path.unlink() if path.is_file() else shutil.rmtree(path)


@contextlib.contextmanager
def small_disk(folder: Path):
    """A file system of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


if __name__ == "__main__":
    sys.exit(main())
