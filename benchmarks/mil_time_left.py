"""The time left that `hage mil` shows, against the time that it took: 60 bags, five folds, in a terminal.

python benchmarks/mil_time_left.py --work FOLDER

Reads the bar as a terminal gets it. Prints, for each tenth of the run, what the bar said was left and what was, and the
worst ratio of the two from the first tenth to the last ten seconds, which are whole seconds of its own words.
"""

import argparse
import os
import pty
import re
import shutil
import subprocess
import time
from pathlib import Path

from mil_folds import make_bags

LEFT = re.compile(r"about (?:(\d+) h)?\s?(?:(\d+) min)?\s?(?:(\d+) s)?\s?left")
END_S = 10.0


def write_labels(options: argparse.Namespace) -> Path:
    """Every other bag is positive, as ``make_bags`` moved them."""
    path = options.work / "labels.csv"
    lines = [f"b{bag},{'tumour' if bag % 2 else 'normal'}" for bag in range(options.bags)]
    path.write_text("\n".join(["slide,label", *lines]) + "\n")
    return path


def watch(command: list[str]) -> tuple[list[tuple[float, float]], float]:
    """Runs it on a terminal of 120 columns: (seconds since the start, seconds that it says are left), and the end."""
    leader, follower = pty.openpty()
    begun, said, rest = time.monotonic(), [], ""
    environment = os.environ | {"COLUMNS": "120"}
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        while True:
            try:
                text = rest + os.read(leader, 65536).decode(errors="replace")
            except OSError:  # it ended
                break
            found = [match for match in LEFT.finditer(text) if any(match.groups())]
            if found:
                hours, minutes, seconds = (int(part or 0) for part in found[-1].groups())
                said.append((time.monotonic() - begun, hours * 3600.0 + minutes * 60.0 + seconds))
            rest = text[-80:] if not found else text[found[-1].end() :][-80:]
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{text[-2000:]}")
    return said, time.monotonic() - begun


def main() -> None:
    """Makes the bags, runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the bags and the run")
    parser.add_argument("--bags", type=int, default=60)
    parser.add_argument("--tiles", type=int, nargs=2, default=(300, 3000), help="least and most of a bag")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    make_bags(options)
    features = next(options.work.glob(f"bags_{options.bags}_*"))
    shutil.rmtree(options.work / "run", ignore_errors=True)
    settings = [
        f"data={{layout: features, root: {features}, labels: {write_labels(options)}}}",
        "sources={frozen: {}}",
        "positive=tumour",
        f"train.repeats={options.trials}",
    ]
    line = ["hage", "mil", "ucsb", "--out", str(options.work / "run"), "--jobs", str(options.jobs)]
    load = os.getloadavg()[0]
    said, whole = watch([*line, *(part for setting in settings for part in ("--set", setting))])
    judged = [(at, left, whole - at) for at, left in said if at >= whole / 10 and whole - at >= END_S]
    for tenth in range(1, 10):
        at, left, true = min(judged, key=lambda one: abs(one[0] - whole * tenth / 10))
        print(f"{at:5.0f} s of {whole:.0f}: says {left:.0f} s left, was {true:.0f} ({left / true:.2f})")
    ratios = [left / true for _, left, true in judged]
    print(f"said over true: {min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} times (load {load:.1f} before)")


if __name__ == "__main__":
    main()
