"""Damages files by the thousand and reads them: `python tests/fuzz/run.py --cases 10000` (`make fuzz`).

The law: a reader takes the file, or refuses it by one error of ours; no other exception, no crash, under 30 s and 2 GB,
and no damage to hashed weights goes unseen. A case is its target and its seed, so each that fails can be run again:
`--only "own h5" --seed 4711 --cases 1`.
"""

import argparse
import importlib.util
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

SECONDS, KILOBYTES, BATCH = 30, 2 * 1024 * 1024, 50


def module(name):
    """The module of this name beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def one(target, folder, seed):
    """What became of one case: ``read``, ``refused``, or what is wrong."""
    from hage_transfer.errors import HageError

    rng = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = target.make(folder)
    before = path.read_bytes()
    target.damage(rng, path)
    same = path.read_bytes() == before
    start = time.monotonic()
    try:
        target.read(folder)
    except HageError as error:
        message = str(error)
        return "refused" if message and "\n" not in message.strip() else f"not one line: {message[:300]!r}"
    except BaseException:  # noqa: BLE001  what nobody caught is what is looked for
        return f"an error that nobody caught: {traceback.format_exc()[-1500:]}"
    if time.monotonic() - start > SECONDS:
        return f"took {time.monotonic() - start:.0f} s"
    return "damage that nobody saw" if target.strict and not same else "read"


def batch(target, folder, seeds, report):
    """Runs seeds in this process and writes a line of each; a hang is ended by the alarm."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libjpeg's own words
    for seed in seeds:
        os.write(report, f"{seed}\t".encode())
        signal.alarm(SECONDS + 5)
        found = one(target, folder, seed)
        signal.alarm(0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = f"took {peak:,} kB" if peak > KILOBYTES else found
        os.write(report, (found.replace("\n", "\\n") + "\n").encode("utf-8", "replace"))
        if peak > KILOBYTES:
            return  # the peak would be that of every case behind it


def run(name, target, seeds, folder):
    """Results of seeds, each batch of them in a process of its own: a crash is one result and not the end."""
    left, results = list(seeds), {}
    while left:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            try:
                batch(target, folder, left[:BATCH], writing)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as lines:
            told = lines.read().split("\n")
        status = os.waitpid(pid, 0)[1]
        for line in told:
            seed, tab, found = line.partition("\t")
            if tab:
                results[int(seed)] = found or f"the process ended with {os.waitstatus_to_exitcode(status)}"
        left = [seed for seed in left if seed not in results]
    return results


def main() -> int:
    """Runs all targets, or one; prints a table and what is wrong; exits with 1 where anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000, help="over all targets")
    parser.add_argument("--seed", type=int, default=0, help="of the first case of each")
    parser.add_argument("--only", help="one target")
    given = parser.parse_args()
    targets = module("targets").of(module("mutations"))
    chosen = {given.only: targets[given.only]} if given.only else targets
    each = -(-given.cases // len(chosen))
    wrong, folder = 0, Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        for name, target in chosen.items():
            start = time.monotonic()
            (folder / name).mkdir()
            target.make(folder / name)
            target.read(folder / name)  # what is right is read
            results = run(name, target, range(given.seed, given.seed + each), folder / "case")
            counts = Counter(found if found in ("read", "refused") else "wrong" for found in results.values())
            wrong += counts["wrong"]
            sys.stdout.write(
                f"{name:22} {counts['read']:5} read {counts['refused']:5} refused {counts['wrong']:3} wrong "
                f"{time.monotonic() - start:6.1f} s\n"
            )
            sys.stdout.flush()
            for seed, found in results.items():
                if found not in ("read", "refused"):
                    sys.stdout.write(f"  --only {name!r} --seed {seed} --cases 1: {found}\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
