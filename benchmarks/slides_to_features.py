"""Slides to features, end to end, against the bare encoder and against lazyslide and TIAToolbox.

    python benchmarks/slides_to_features.py SLIDES... --peers --cache ~/.cache/hage-peers
    python benchmarks/slides_to_features.py --painted 10 --format deflate --alone --threads 1

``end to end`` opens the slides, finds tissue, writes pictures and GeoJSON, reads, encodes and writes feature files;
``bare`` is the same encoder (same weights, session, batches, pieces of them and threads, its normalisation of pixels
included) over tiles that lie decoded in memory, before and after each end to end: no file is opened, nothing is
decoded, resized or written. Medians of the turns are printed. Loading of libraries and weights is never timed. Each
peer runs in a virtual environment of its own under ``--cache``, made (pip install) with ``--peers`` where it is not
there, with its own tissue and tiles and this encoder's weights as a torch module. ``--parts`` says what a tile costs
beside the network.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import kept
from painted_slides import paint_slides
from slides_measured import measure

HERE = Path(__file__).resolve().parent
PEERS = {"lazyslide": "lazyslide==0.13.0", "tiatoolbox": "tiatoolbox==2.1.3"}
ENCODER_NEEDS = ("jaxtyping", "pydantic", "pyyaml", "timm", "safetensors", "huggingface_hub")


def run_ours(task: dict) -> dict:
    """A measurement of ours in a process of its own."""
    return run([sys.executable, __file__, "--measure", json.dumps(task)], task["threads"])


def run_peer(name: str, task: dict, cache: Path) -> dict:
    """A measurement of a peer in its environment."""
    script = HERE / f"peer_{name}.py"
    return run([str(python_of(cache, name)), str(script), json.dumps(task)], task["threads"])


def run(command: list[str], threads: int) -> dict:
    """Runs a command and reads the last line of its output."""
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:2])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def python_of(cache: Path, name: str) -> Path:
    """The interpreter of a peer's environment."""
    return cache / name / "bin" / "python"


def set_up(cache: Path, name: str) -> None:
    """Makes a peer's environment, where it is not there."""
    if python_of(cache, name).exists():
        return
    print(f"making the environment of {name} in {cache / name}", flush=True)
    venv.create(cache / name, with_pip=True)
    subprocess.run([python_of(cache, name), "-m", "pip", "install", "-q", PEERS[name], *ENCODER_NEEDS], check=True)


def main() -> None:
    """Runs all and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--mpp", type=float, default=0.5, help="um per px of the tiles")
    parser.add_argument("--tile-px", type=int, default=224)
    parser.add_argument("--runtime", choices=["auto", "torch", "onnx"], default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--painted", type=int, default=0, metavar="N", help="paint so many small slides, and take them")
    parser.add_argument("--format", choices=["deflate", "jpeg"], default="deflate", help="of painted slides")
    parser.add_argument("--parts", action="store_true", help="what a tile costs beside the network, part by part")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--bare-tiles", type=int, default=256)
    parser.add_argument("--peers", action="store_true", help="make the peers' environments where they are not there")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "hage-peers")
    parser.add_argument("--peer-batch", type=int, nargs="+", default=[32], help="batch sizes; the best one counts")
    parser.add_argument("--peer-workers", type=int, default=0, help="loader processes of the peers")
    parser.add_argument(
        "--flat", type=int, default=0, metavar="N", help="peak memory of N times the slides against one"
    )
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print("\n" + json.dumps(measure(json.loads(options.measure))))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.painted:
            options.slides += paint_slides(Path(folder), n_slides=options.painted, form=options.format)
        if not options.slides:
            parser.error("give slides that record their resolution, or --painted N")
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """The rounds and their report."""
    from hage_transfer.encoders.embedded import find_weights

    common = {
        "slides": [str(path.resolve()) for path in options.slides],
        "weights": str(find_weights(None).path),
        "mpp": options.mpp,
        "tile_px": options.tile_px,
        "threads": options.threads,
        "runtime": options.runtime,
        "bare_tiles": options.bare_tiles,
        "times": 1,
        "workers": options.peer_workers,
        "batch": options.peer_batch[0],
        "out": tempfile.gettempdir(),
    }
    peers = [] if options.alone else find_peers(options)
    processes = options.rounds if peers else 1
    rates: dict[str, list[float]] = {}
    core_ms: dict[str, list[float]] = {}
    tissue: dict[str, list[tuple[float, float]]] = {}
    for number in range(processes):
        found = run_ours({**common, "what": "turns", "turns": options.rounds // processes})
        for name, costs in found["costs"].items():
            rates.setdefault(name, []).extend(one["tiles"] / one["seconds"] for one in costs)
            core_ms.setdefault(name, []).extend(one["cpu_seconds"] / one["tiles"] * 1e3 for one in costs)
        found = run_ours({**common, "what": "tissue"})
        tissue.setdefault("ours", []).append((found["seconds"], found["cpu_seconds"]))
        for name in peers:
            best = 0.0
            least = float("inf")
            for batch in options.peer_batch:
                found = run_peer(name, {**common, "encode": True, "batch": batch}, options.cache)
                seconds = found["feature_seconds"] + (found["tissue_seconds"] if name == "lazyslide" else 0.0)
                best = max(best, found["tiles"] / seconds)
                least = min(least, found["cpu_seconds"] / found["tiles"] * 1e3)
            rates.setdefault(name, []).append(best)
            core_ms.setdefault(name, []).append(least)
            found = run_peer(name, {**common, "encode": False}, options.cache)
            tissue.setdefault(name, []).append((found["tissue_seconds"], found["tissue_cpu_seconds"]))
        print(f"process {number + 1} of {processes} done", flush=True)
    report(rates, tissue, options)
    print("time of a core a tile, which other work on the machine disturbs less: "
          + ", ".join(f"{name} {statistics.median(values):.2f} ms" for name, values in core_ms.items()))  # fmt: skip
    for name in core_ms.keys() - {"end to end"}:
        keep(options, core_ms[name], core_ms["end to end"], f"{name} in time of a core")
    if options.parts:
        found = run_ours({**common, "what": "parts"})["parts"]
        print("ms of a core a tile, by part: " + ", ".join(f"{name} {ms:.2f}" for name, ms in found.items()))
    if options.flat:
        one, many = (run_ours({**common, "what": "once", "times": times}) for times in (1, options.flat))
        print(f"peak memory: {one['peak_mb']:.0f} MB for {len(options.slides)} slides, "
              f"{many['peak_mb']:.0f} MB for {options.flat * len(options.slides)}")  # fmt: skip


def find_peers(options: argparse.Namespace) -> list[str]:
    """The peers whose environments are there, or are made."""
    found = []
    for name in PEERS:
        if options.peers:
            set_up(options.cache, name)
        if python_of(options.cache, name).exists():
            found.append(name)
        else:
            print(f"{name}: not there ({options.cache / name}); --peers makes its environment. It is left out.")
    return found


def keep(options: argparse.Namespace, more: list[float], less: list[float], than: str) -> None:
    """A kept line."""
    kinds = " ".join(sorted({path.suffix for path in options.slides}))
    megabytes = sum(path.stat().st_size for path in options.slides) / 1e6
    slides = f"{len(options.slides)} slides ({kinds}, {megabytes:.0f} MB) at {options.mpp:g} um/px"
    kept.keep(
        "slides_to_features",
        [one / other for one, other in zip(more, less, strict=True)],
        what=f"slides to features are so many times {than}",
        setting=f"{slides}, {options.threads} threads, {options.runtime}",
    )


def report(
    rates: dict[str, list[float]], tissue: dict[str, list[tuple[float, float]]], options: argparse.Namespace
) -> None:
    """Prints medians and ratios."""
    own = statistics.median(rates["end to end"])
    print(f"{len(options.slides)} slides at {options.mpp:g} um/px, {options.threads} threads, {options.rounds} rounds")
    for name, values in rates.items():
        value = statistics.median(values)
        ratio = f"end to end is {own / value:.2f} of it" if name != "end to end" else ""
        print(f"{name:12s} {value:8.1f} tiles a second  {ratio}")
        if ratio:
            keep(options, rates["end to end"], values, f"{name} in tiles a second")
    first = [statistics.median(values) for values in zip(*tissue["ours"], strict=True)]
    for name, values in tissue.items():
        wall, core = (statistics.median(column) for column in zip(*values, strict=True))
        times = f"{wall:.2f} s, {wall / first[0]:.1f} times ours; of a core {core:.2f} s, {core / first[1]:.1f} times"
        print(f"tissue and tiles, {name:12s} {times}")


if __name__ == "__main__":
    main()
