"""What `hage plan` says against what a real run then takes, stage by stage: cores, clock, disk and memory.

    python benchmarks/plan_check.py DATA --work DIR [--stages encode pretrain probe mil ...]

DATA is the folder of the data sets of docs/real-data.md (her2st/data, ucsb_breast). Each stage is planned from rates
measured just before on synthetic data, then run on real data in a process of its own: five sections of her2st, JPEG
pyramids of their images as slides, tiles of UCSB's 58 images as patches and as bags. Trainings run without early stop,
since a plan gives the soonest and the latest for these. On a busy machine compare the seconds of cores.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

import kept

HERE = Path(__file__).resolve().parent
SECTIONS = ["B4", "C2", "C3", "C4", "C5"]
CHILD = """
import json, sys
from pathlib import Path
import hage_transfer as ht
name, given = sys.argv[1], json.loads(sys.argv[2])
getattr(ht, name)(**given)
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""


def cases(data: Path, work: Path) -> dict[str, tuple[str, dict[str, Any], dict[str, Any], list[Path]]]:
    """By stage of the plan: the door's function, what it is given, the plan besides, and what the run leaves."""
    st = {"data": {"root": str(data / "her2st" / "data"), "sections": SECTIONS}, "features": str(work / "st")}
    trained = {
        **st,
        "split": {"unit": "section", "held_out": ["C4", "C5"]},
        "trials": 2,
        "train.epochs": 8,
        "train.patience": 8,
        "genes": {"min_sections": 2, "min_spots": 100},
        "methods": ["hage", "stnet", "bleep"],
    }
    embedded = {"encoder.name": "embedded"}
    patches = {"data.root": str(data / "ucsb_breast"), "features": str(work / "patches"), **embedded}
    bags = {"data.root": str(data / "ucsb_breast"), "features": str(work / "bags"), **embedded}
    slides = {
        "data": {
            "layout": "slides",
            "root": str(work / "slides"),
            "labels": str(work / "slides" / "labels.csv"),
            "slide_mpp_um_per_px": 0.78,
        },
        "features": str(work / "slide-features"),
        **embedded,
    }
    mil = {**bags, "train.epochs": 20, "train.min_epochs": 20}
    plain, encoder = {"frozen": {}}, {"encoder": str(work / "run-st" / "encoder")}
    embedding = {"features": str(work / "slide-features" / "features"), **encoder, "out": str(work / "embedded")}
    return {
        "encode st": ("encode_sections", {"config": "her2st", "changes": st}, {}, [work / "st"]),
        "pretrain": ("pretrain", {"config": "her2st", "changes": trained, "out": str(work / "run-st")}, {}, []),
        "encode slides": ("encode_slides", {"config": "tcga_brca", "changes": slides}, {}, [work / "slide-features"]),
        "encode patches": ("encode_patches", {"config": "probes/ucsb", "changes": patches}, {}, [work / "patches"]),
        "probe": (
            "probe",
            {"config": "probes/ucsb", "changes": patches, "sources": plain, "out": str(work / "run-p")},
            {},
            [],
        ),
        "embed": ("embed", embedding, {"config": "tcga_brca", "changes": slides, "sources": {"hage": encoder}}, []),
        "bags": ("encode_slides", {"config": "mil/ucsb", "changes": bags}, {}, [work / "bags"]),
        "mil": ("mil", {"config": "mil/ucsb", "changes": mil, "sources": plain, "out": str(work / "run-mil")}, {}, []),
    }


def main() -> None:
    """Plans and runs each stage and prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", help="of the plan; left out: all")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not (options.work / "slides" / "labels.csv").exists():
        make_slides(options.data, options.work / "slides")
    print(f"{'stage':<15}{'':>9}{'core s':>9}{'clock s':>9}{'disk MB':>9}{'memory MB':>10}   load")
    for stage, (function, given, besides, left) in cases(options.data, options.work).items():
        if stage == "bags" and options.stages and "mil" not in options.stages:
            continue
        if stage not in (options.stages or [stage]) and stage != "bags":
            continue
        print_stage(stage, function, given, besides, left, options.work)


def print_stage(
    stage: str, function: str, given: dict[str, Any], besides: dict[str, Any], left: list[Path], work: Path
) -> None:
    """Runs a stage (after those whose features it needs) and prints what was planned and what was true."""
    out = [Path(given["out"])] if "out" in given else left
    if stage == "bags" and out[0].is_dir():
        return
    for folder in out:
        shutil.rmtree(folder, ignore_errors=True)
    true = run(function, given, out)
    if stage == "bags":
        return
    told = plan(stage, {**given, **besides}, work)
    if told["hours"] is None:
        sys.exit(f"{stage}: {told['based_on']}")
    cores = sorted((told["core_hours"] * 3600, true[0]))
    kept.keep(
        "plan_check",
        [cores[0] / cores[1]],
        what=f"{stage}: seconds of cores planned and true, less / more",
        setting="real data",
    )
    columns = (("core s", 3600, "core_hours"), ("clock s", 3600, "hours"), ("disk", 1024, "disk_gib"))
    planned = [told[key] * scale for _, scale, key in columns] + [told["memory_gib"] * 1024]
    for what, row in (("planned", planned), ("true", true)):
        print(f"{stage:<15}{what:>9}" + "".join(f"{one:>{9 + (k == 3)}.1f}" for k, one in enumerate(row)), end="")
        print(f"   {os.getloadavg()[0]:.1f}", flush=True)
    print(
        f"{'':<15}{'ratio':>9}"
        + "".join(f"{a / b:>{9 + (k == 3)}.2f}" for k, (a, b) in enumerate(zip(planned, true, strict=True)))
    )


def plan(stage: str, given: dict[str, Any], work: Path) -> dict[str, Any]:
    """The plan's row of the stage, from rates measured now for this one alone."""
    from hage_transfer.door import plan as door
    from hage_transfer.door.measure import measure
    from hage_transfer.door.recipes import TASKS, resolve_config

    task = {"pretrain": "pretrain", "encode st": "pretrain", "probe": "probe", "encode patches": "probe"}.get(
        stage, "mil"
    )
    sources = [] if task == "pretrain" else [{"sources": None}, {"sources": given.get("sources", {"frozen": {}})}]
    config = resolve_config(TASKS[task], given["config"], given["changes"], *sources)
    amounts = {"sections": len(SECTIONS), "patients": 2} if task == "pretrain" else {}
    stages = [one for one in door.stages_of_config(config, {}, amounts) if one.name == stage]
    measured = measure(stages, device="cpu")
    measured.save(work / f"rates-{stage.replace(' ', '-')}.json")
    return vars(door.planned_stage(stages[0], measured, 1))


def run(function: str, given: dict[str, Any], out: list[Path]) -> list[float]:
    """A call of the door in a process of its own: seconds of cores and of the clock, MB left and held."""
    began, before = time.perf_counter(), os.times()
    command = [sys.executable, "-c", CHILD, function, json.dumps({**given, "device": "cpu"})]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    took, after = time.perf_counter() - began, os.times()
    cores = after.children_user + after.children_system - before.children_user - before.children_system
    size = sum(one.stat().st_size for folder in out for one in folder.rglob("*") if one.is_file())
    return [cores, took, size / 2**20, int(ended.stdout.split()[-1]) / 1024]


def make_slides(data: Path, folder: Path) -> None:
    """JPEG pyramids of the five sections' images."""
    images = sorted((data / "her2st" / "data" / "ST-imgs").rglob("*.jpg"))
    command = [sys.executable, str(HERE / "jpeg_pyramids.py"), *map(str, images), "--mpp", "0.78", "--out", str(folder)]
    subprocess.run(command, check=True)
    names = sorted(one.name for one in folder.glob("*.svs"))
    rows = [f"{name},{'ab'[k % 2]},p{k}" for k, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["slide,label,group", *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
