"""Slides to features, end to end, against the bare encoder and against lazyslide and TIAToolbox.

    python benchmarks/slides_to_features.py SLIDES... --peers --cache ~/.cache/hage-peers

Everything runs in turn, round after round, with the same weights, threads and resolution; medians of the rounds are
printed. ``end to end`` opens the slides, finds tissue, writes pictures and GeoJSON, reads, encodes and writes feature
files; ``bare`` is the same encoder over tiles that lie in memory, at the batch size whose median is best. Each peer
runs in a virtual environment of its own under ``--cache``, made (pip install) with ``--peers`` where it is not there,
with its own tissue and tiles and this encoder's weights as a torch module. Loading of libraries and weights is never
timed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import kept

HERE = Path(__file__).resolve().parent
PEERS = {"lazyslide": "lazyslide==0.13.0", "tiatoolbox": "tiatoolbox==2.1.3"}
ENCODER_NEEDS = ("jaxtyping", "pydantic", "pyyaml", "timm", "safetensors", "huggingface_hub")


def measure_ours(task: dict) -> dict:
    """Times bare encoder, tissue with tiles, or end to end, as ``task["what"]`` says."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does
    import resource

    import torch

    from hage_transfer.config import EncoderSettings, SlideSetSettings
    from hage_transfer.encode.items import open_encoder

    torch.set_num_threads(task["threads"])
    settings = SlideSetSettings(labels=Path("none"), mpp_um_per_px=task["mpp"], tile_px=task["tile_px"])
    if task["what"] == "tissue":
        facts = tissue_and_tiles(task["slides"], settings)
    else:
        encoder_settings = EncoderSettings(runtime=task["runtime"])
        encoder = open_encoder(encoder_settings, device="cpu")
        run = bare if task["what"] == "bare" else end_to_end
        facts = run(task, settings, encoder_settings, encoder)
    return facts | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def tissue_and_tiles(slides: list[str], settings: object) -> dict:
    """Seconds from closed files to tile coordinates."""
    from hage_transfer.slides.survey import open_config_slide
    from hage_transfer.slides.tiles import cut_tiles
    from hage_transfer.slides.tissue import find_tissue

    start, cpu, tiles = time.perf_counter(), time.process_time(), 0
    for path in slides:
        with open_config_slide(Path(path), settings) as slide:
            tiles += len(cut_tiles(slide, find_tissue(slide, settings.tissue), settings))
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu, "tiles": tiles}


def bare(task: dict, settings: object, encoder_settings: object, encoder: object) -> dict:
    """Seconds for tiles in memory, at each of several batch sizes."""
    import numpy as np

    from hage_transfer.slides.survey import open_config_slide
    from hage_transfer.slides.tiles import cut_tiles, iter_tiles
    from hage_transfer.slides.tissue import find_tissue

    tiles: list[np.ndarray] = []
    for path in task["slides"]:
        with open_config_slide(Path(path), settings) as slide:
            tiles += list(iter_tiles(slide, cut_tiles(slide, find_tissue(slide, settings.tissue), settings)))
        if len(tiles) >= task["bare_tiles"]:
            break
    images = np.stack(tiles[: task["bare_tiles"]])
    encoder(images[:8])
    batches = {}
    for batch in (16, 64, len(images)):
        start, cpu = time.perf_counter(), time.process_time()
        for k in range(0, len(images), batch):
            encoder(images[k : k + batch])
        batches[batch] = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    return {"batches": batches, "tiles": len(images)}


def end_to_end(task: dict, settings: object, encoder_settings: object, encoder: object) -> dict:
    """Seconds from closed slides to feature files, each slide as often as ``task["times"]`` says."""
    import numpy as np

    from hage_transfer.encode.image_progress import ImageProgress
    from hage_transfer.encode.items import item_sha256
    from hage_transfer.encode.slide_items import slide_items
    from hage_transfer.encode.status import StatusBook
    from hage_transfer.encode.worker import Worker

    encoder(np.zeros((8, task["tile_px"], task["tile_px"], 3), np.uint8))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = []
        for turn in range(task["times"]):
            for path in map(Path, task["slides"]):
                names.append(f"{turn} {path.name}")
                (folder / names[-1]).symlink_to(path.resolve())
        (folder / "table.csv").write_text("\n".join(["slide", *(f'"{name}"' for name in names)]) + "\n")
        own = settings.model_copy(update={"root": folder, "labels": folder / "table.csv"})
        items, _ = slide_items(own, folder / "out")
        book = StatusBook(folder / "out", tuple((item.name, item.path) for item in items))
        start, cpu = time.perf_counter(), time.process_time()
        worker = Worker(
            items,
            encoder,
            encoder_settings,
            sha256=lambda item: item_sha256(item, encoder_settings, encoder.sha256),
            arithmetic="cpu",
            synthetic=False,
            progress=ImageProgress(None, total=len(items), kept=0),
            book=book,
        )
        outcomes = worker.run()
        book.write()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    failed = [one for one in outcomes if one.failed]
    if failed:
        sys.exit(f"{failed[0].slide}: {failed[0].reason}")
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "tiles": sum(one.tiles for one in outcomes)}


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
        print("\n" + json.dumps(measure_ours(json.loads(options.measure))))
        return
    if not options.slides:
        parser.error("give slides that record their resolution")
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
    peers: list[str] = []
    for name in () if options.alone else PEERS:
        if options.peers:
            set_up(options.cache, name)
        if python_of(options.cache, name).exists():
            peers.append(name)
        else:
            print(f"{name}: not there ({options.cache / name}); --peers makes its environment. It is left out.")
    rates: dict[str, list[float]] = {}
    core_ms: dict[str, list[float]] = {}
    tissue: dict[str, list[tuple[float, float]]] = {}
    for number in range(options.rounds):
        found = run_ours({**common, "what": "bare"})
        for batch, measured in found["batches"].items():
            rates.setdefault(f"bare {batch}", []).append(found["tiles"] / measured["seconds"])
            core_ms.setdefault(f"bare {batch}", []).append(measured["cpu_seconds"] / found["tiles"] * 1e3)
        found = run_ours({**common, "what": "end to end"})
        rates.setdefault("end to end", []).append(found["tiles"] / found["seconds"])
        core_ms.setdefault("end to end", []).append(found["cpu_seconds"] / found["tiles"] * 1e3)
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
        print(f"round {number + 1} of {options.rounds} done", flush=True)
    for values in (rates, core_ms):
        keep_best_bare(values, most=values is rates)
    report(rates, tissue, options)
    print("time of a core a tile, which other work on the machine disturbs less: "
          + ", ".join(f"{name} {statistics.median(values):.2f} ms" for name, values in core_ms.items()))  # fmt: skip
    for name in core_ms.keys() - {"end to end"}:
        keep(options, core_ms[name], core_ms["end to end"], f"{name} in time of a core")
    if options.flat:
        one, many = (run_ours({**common, "what": "end to end", "times": times}) for times in (1, options.flat))
        print(f"peak memory: {one['peak_mb']:.0f} MB for {len(options.slides)} slides, "
              f"{many['peak_mb']:.0f} MB for {options.flat * len(options.slides)}")  # fmt: skip


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


def keep_best_bare(values: dict[str, list[float]], *, most: bool) -> None:
    """Leaves one batch size of the bare encoder: the best by the median of the rounds, not by a lucky one."""
    bare = {name: statistics.median(values[name]) for name in values if name.startswith("bare ")}
    best = (max if most else min)(bare, key=lambda name: bare[name])
    found = values[best]
    for name in bare:
        del values[name]
    values["bare"] = found


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
