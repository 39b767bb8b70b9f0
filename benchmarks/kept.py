"""Kept ratios: a line of JSON for each benchmark, of which docs/benchmarks.md is made and to which new ones are held.

    python benchmarks/kept.py page     # writes the table of docs/benchmarks.md anew
    python benchmarks/kept.py quick    # `make bench-quick`: minutes; fails where a ratio fell by 15%

A ratio is of two ways of doing the same thing, taken in turn, and more of it is better. Lines go to
benchmarks/history/NAME.jsonl, or into the folder that the variable HAGE_BENCH_HISTORY names.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
HISTORY = HERE / "history"
BEGIN, END = "<!-- kept ratios: made by benchmarks/kept.py page -->", "<!-- end of kept ratios -->"
# {work}: a folder
QUICK = tuple(
    tuple(line.split())
    for line in """
    pretrain_step.py --epochs 2
    gene_attention.py --batch 32
    probe_folds.py --rows 16384 --features 512 --epochs 5 --only memory plain
    mil_small_bags.py --bags 60 --epochs 2 --rounds 2 --work {work}
    mil_folds.py --form clam --bags 10 --tiles 2000 3000 --epochs 2 --peer-folds 2 --threads 1 --work {work}
    slides_to_features.py --painted 2 --format jpeg --alone --threads 1 --bare-tiles 64 --rounds 3
    """.strip().splitlines()
)
FALL = 0.15


def keep(name: str, ratios: Sequence[float], *, what: str, setting: str) -> None:
    """Writes what a benchmark measured.

    Args:
        name: of the benchmark's file.
        ratios: one for each turn, more is better; their median is the ratio, their quartiles the spread.
        what: which way is how many times which other.
        setting: sizes; ratios are compared where name, what and setting are the same.
    """
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 2 else (min(ratios), *_ends(ratios))
    line = {
        "what": what,
        "setting": setting,
        "ratio": round(middle, 4),
        "spread": [round(low, 4), round(high, 4)],
        "turns": len(ratios),
        "commit": _git("rev-parse", "--short=10", "HEAD")
        + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!history") else ""),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {_processor()}",
        "load": round(os.getloadavg()[0], 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    folder = _history()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _ends(ratios: Sequence[float]) -> tuple[float, float]:
    return statistics.median(ratios), max(ratios)


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True, check=False)
    return ran.stdout.strip() or ("" if arguments[0] == "status" else "unknown")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def last_lines(folder: Path | None = None) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The last line of each benchmark, comparison and setting."""
    found = {}
    for path in sorted((folder or _history()).glob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                line = json.loads(text)
                found[path.stem, line["what"], line["setting"]] = line
            except (ValueError, LookupError, TypeError) as error:
                sys.exit(f"{path}, line {number}: no line of keep() ({error!r}); mend or delete it")
    return found


def _history() -> Path:
    return Path(os.environ.get("HAGE_BENCH_HISTORY", HISTORY))


def table() -> list[str]:
    """Of the documentation."""
    rows = [
        f"| `{name}.py` | {what}; {setting} | {line['ratio']:.3g} | {line['spread'][0]:.3g} to {line['spread'][1]:.3g} "
        f"({line['turns']}) | {line['date']}, {line['commit']}, load {line['load']:g}, {line['machine']} |"
        for (name, what, setting), line in last_lines().items()
    ]
    return ["| benchmark | what, sizes | ratio | middle half (turns) | measured |", "|---|---|---:|---|---|", *rows]


def page_text(text: str) -> str:
    """The page with the table of today's history."""
    before, rest = text.split(BEGIN)
    return "\n".join([before + BEGIN, "", *table(), "", END]) + rest.split(END)[1]


def quick(*, keep_them: bool) -> int:
    """Runs the quick set and says where a ratio fell, is no number, has none kept or was not left; how many."""
    kept, fallen = last_lines(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment["HAGE_BENCH_HISTORY"] = str(_history() if keep_them else folder)
        for script, *arguments in QUICK:
            given = [str(folder) if one == "{work}" else one for one in arguments]
            subprocess.run([sys.executable, str(HERE / script), *given], check=True, env=environment)
        if keep_them:
            return 0
        found = last_lines(folder)
        for key, line in found.items():
            before = kept.get(key)
            holds = before is not None and line["ratio"] >= (1 - FALL) * before["ratio"]  # what is no number does not
            fallen += not holds
            than = f"kept {before['ratio']:.3g} ({before['machine']})" if before else "none is kept; --keep keeps it"
            said = "holds" if holds else "FELL" if before else "NEW"
            print(f"{said}: {key[0]}, {key[1]}: {line['ratio']:.3g}, {than}")
        for script, *_ in QUICK:
            if Path(script).stem not in {name for name, *_ in found}:
                fallen += 1
                print(f"MISSING: {script} left no line")
    return fallen


def main() -> None:
    """Writes the page, or runs the quick set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["page", "quick"])
    parser.add_argument("--keep", action="store_true", help="quick: keep what is measured in place of comparing it")
    options = parser.parse_args()
    if options.task == "page":
        PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    elif quick(keep_them=options.keep):
        sys.exit(1)


if __name__ == "__main__":
    main()
