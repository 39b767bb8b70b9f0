"""The runs that rates are taken from: the commands themselves, with a config's own settings, on small made-up data."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.config import Settings
from hage_transfer.door.calibration_data import random_encoder, tissue_image, write_random, write_section
from hage_transfer.door.planned_work import Stage, mil_work
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.atomic import write_csv

LONG_S = 2.0
"""A run that takes so long tells a rate; sizes grow until one does."""
_PANEL_SPOTS = (160, 640)


def _changed(config: Settings, changes: Mapping[str, Any]) -> Any:
    from hage_transfer.door.recipes import resolve_config

    return resolve_config(type(config), config, changes)


def _slides(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic slides: small ones for what each costs, and ever larger ones for what a tile costs."""
    from hage_transfer.demo.slides import write_pyramid
    from hage_transfer.door.encode_slides import encode_slides

    image = tissue_image()

    def run(name: str, sides: list[int]) -> float:
        root = watch.folder / name
        root.mkdir()
        for number, side in enumerate(sides):
            write_pyramid(root / f"s{number}.tif", np.roll(np.tile(image, (side, side, 1)), number, axis=0))
        rows = [{"slide": f"s{n}.tif", "label": "ab"[n % 2]} for n in range(len(sides))]
        write_csv(root / "labels.csv", ["slide", "label"], rows)
        tissue = {"method": "auto"}
        changes = {"data": {"root": root, "labels": root / "labels.csv", "tissue": tissue}, "features": None}

        def call(out: Path, progress: Any) -> None:
            config = _changed(stage.config, {**changes, "features": out, "target": {"kind": "classes"}})
            made.append(encode_slides(config=config, device=device, progress=progress).frame()["rows"])

        made: list[Any] = []
        n = len(sides)
        work = {"run": 1.0, "slide": float(n), "tile": 0.0}
        kept = {"slide": float(n), "tile": 0.0}

        def counted(**given: Any) -> None:
            call(**given)
            tiles = float(made[0].sum())
            work["tile"] = kept["tile"] = tiles

        return float(watch.run(counted, {"encode": work}, kept=kept, held={"start": 1.0}, pictures=n))

    run("first", [1])
    run("small", [1] * 6)
    side = 2
    while run(f"large{side}", [side]) < LONG_S and side < 16:
        side *= 2
    return "synthetic slides of 0.5 um per px"


def _sections(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic sections of the her2st layout."""
    from hage_transfer.demo.sections import write_sections
    from hage_transfer.door.encode_sections import encode_sections

    side = 1500
    for number, names in enumerate((("A1",), ("A1",), ("A1", "B1", "C1"), ("D1",))):
        root = watch.folder / f"data{number}"
        write_sections(root, seed=number, names=names, side_px=side * (2 if number == 3 else 1))
        spots = sum(_lines(root / "ST-spotfiles" / f"{name}_selection.tsv") for name in names)
        data = {"layout": "her2st", "root": root, "sections": names, "mpp_um_per_px": 0.5, "spot_spacing_um": 75.0}

        def call(out: Path, progress: Any, data: Any = data) -> None:
            config = _changed(stage.config, {"data": data, "features": out})
            encode_sections(config=config, device=device, progress=progress)

        work = {"section": float(len(names)), "spot": float(spots)}
        watch.run(call, {"encode": {"run": 1.0, **work}}, kept=work, held={"start": 1.0})
    return "synthetic sections of 2 and 9 megapixels"


def _patches(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic patches of the config's tiles, or of 96 px, as PCAM's, in PNG files."""
    from PIL import Image

    from hage_transfer.door.encode_patches import encode_patches

    assert isinstance(stage.config, ProbeConfig)
    image, sizes, side = tissue_image(), [64, 64, 256], stage.config.data.tile_px or 96
    for number, n in enumerate(sizes):
        root = watch.folder / f"data{number}"
        rng = np.random.default_rng(n)
        for place, (x, y) in enumerate(rng.integers(0, len(image) - side, (n, 2)).tolist()):
            folder = root / "ab"[place % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[y : y + side, x : x + side]).save(folder / f"{place}.png", compress_level=1)

        def call(out: Path, progress: Any, root: Path = root) -> None:
            data = {"layout": "folder", "root": root, "manifest": None, "pattern": None, "group_by": None}
            changes = {"data": data, "features": out, "split.by_group": False, "target": {"kind": "classes"}}
            encode_patches(config=_changed(stage.config, changes), device=device, progress=progress)

        work = {"patch": float(n)}
        took = watch.run(call, {"encode": {"run": 1.0, **work}}, kept=work, held={"start": 1.0})
        if number >= 2 and took < LONG_S and n < 64 * 4**5:
            sizes.append(4 * n)
    return f"synthetic patches of {side} px in PNG files"


def _pretraining(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic sections of three patients, one held out; the config's systems, panel size and widths."""
    from hage_transfer.door.pretrain import pretrain

    config, genes, width = stage.config, int(stage.at["genes"]), int(stage.at["width"])
    assert isinstance(config, PretrainConfig)
    symbols = [f"GENE{number}" for number in range(genes)]
    (watch.folder / "panel.txt").write_text("\n".join(symbols), encoding="utf-8")
    few, many = _PANEL_SPOTS
    for number, (n, epochs, trials) in enumerate(((few, 1, 2), (few, 3, 2), (many, 1, 2), (many, 2, 3))):
        root = watch.folder / f"data{number}"
        for place, name in enumerate(("A1", "B1", "C1")):
            write_section(root, name, symbols, n, width, seed=place)

        def call(
            out: Path, progress: Any, n: int = n, epochs: int = epochs, trials: int = trials, at: Path = root
        ) -> None:
            changes = {
                "data": {"layout": "her2st", "root": at, "sections": ("A1", "B1", "C1"), "min_counts": 0},
                "features": at / "features",
                "genes.panel": watch.folder / "panel.txt",
                "genes.embeddings": None,
                "genes.installed": None,
                "genes.names": None,
                "trials": trials,
                "train.epochs": epochs,
                "train.patience": epochs,
                "split.held_out": ["A"] if config.split.unit == "patient" else ["A1"],
                "split.train": None,
            }
            pretrain(_changed(config, changes), out=out, device=device, progress=progress)

        every, test = 3.0 * n, float(n)
        training = 2 * n * (1 - config.split.validation)
        names = [part.name for part in stage.parts if part.name != "start"]
        entrants = [name for name in names if name not in ("scores", "controls")]
        trained = sum(trials if _is_drawn(name) else 1 for name in entrants)
        work = {name: {"job": 1.0, "spot": every, "spot_epoch": training * epochs} for name in entrants}
        work["scores"] = {"job": 1.0, "spot": every, "trial_spot": trained * test}
        work["controls"] = {"job": 1.0, "spot": every}

        def part_of(job: str) -> str:
            words = job.split(" ")
            return words[1] if len(words) > 1 else ""

        watch.run(
            call,
            {name: work[name] for name in names},
            part_of=part_of,
            once={"start": 1.0, "spot": every},
            kept={"trial": float(trained), "trial_spot": trained * every, "fold": 1.0},
            held={"start": 1.0, "spot": every},
        )
    return f"synthetic sections of {few} and {many} spots, {genes} genes, {width} features"


def _is_drawn(name: str) -> bool:
    from hage_transfer.pretrain.methods.registry import METHODS

    return name not in METHODS or METHODS[name].stochastic


def _embedding(stage: Stage, watch: Any, device: str) -> str:
    """A gene-informed encoder with random weights, on random features."""
    encoder = random_encoder(watch.folder / "encoder", int(stage.at["width"]), int(stage.at["embed_dim"]))
    n, took = 500, 0.0
    for files in (1, 6):
        _embed_run(watch, encoder, device, files=files, n=n, width=int(stage.at["width"]))
    while took < LONG_S and n <= 500 * 4**4:
        n *= 4
        took = _embed_run(watch, encoder, device, files=1, n=n, width=int(stage.at["width"]))
    return "an encoder with random weights on random features"


def _embed_run(watch: Any, encoder: Path, device: str, *, files: int, n: int, width: int) -> float:
    from hage_transfer.door.embed import embed

    root = watch.folder / f"features{files}-{n}"
    for number in range(files):
        write_random(root / f"s{number}.h5", n, width, seed=number)
    rows = {"file": float(files), "row": float(files * n)}
    return float(
        watch.run(
            lambda out, progress: embed(root, encoder=encoder, out=out, device=device, progress=progress),
            {"embed": {"run": 1.0, **rows}},
            kept=rows,
            held={"start": 1.0, "row": float(n)},
        )
    )


def _probing(stage: Stage, watch: Any, device: str) -> str:
    """Random features with labels, two sources."""
    from hage_transfer.door.probe import probe

    config, width = stage.config, int(stage.at["width"])
    assert isinstance(config, ProbeConfig)
    for number, n in enumerate((2_000, 2_000, 8_000, 32_000)):
        root = watch.folder / f"data{number}"
        keys = write_random(root / "features.h5", n, width, seed=number, keyed=True)
        rows = [{"key": key, "label": "ab"[k % 2], "group": f"g{k // 20}"} for k, key in enumerate(keys)]
        write_csv(root / "labels.csv", ["key", "label", "group"], rows)
        changes = {
            "features": root,
            "sources": {name: {"features": root / "features.h5"} for name in ("one", "two")},
            "split": {"mode": "folds", "parts": None},
            "target": {"kind": "classes"},
            "label_map": {},
            "positive": None,
            "null": 0,
            "controls": False,
        }

        def call(out: Path, progress: Any, changes: Any = changes) -> None:
            plain = _without(config, "sources", "label_map")
            probe(plain | {"data": {}}, changes=changes, out=out, device=device, progress=progress)

        names = [part.name for part in stage.parts if part.name != "start"]
        work = {"job": 1.0, "row": float(n)}
        watch.run(
            call,
            {name: work | ({"row_row": float(n) ** 2} if name == "knn" else {}) for name in names},
            part_of=lambda job: job.split(" ")[-1],
            once={"start": 1.0, "row": float(n), "trial_row": 2.0 * n},
            kept={"trial": 2.0, "trial_row": 2.0 * n},
            held={"start": 1.0, "row": float(n)},
        )
    return f"random features of {width} numbers, two classes, up to 32,000 rows"


def _bags(stage: Stage, watch: Any, device: str) -> str:
    """Random bags with labels, two trials of one source."""
    from hage_transfer.door.mil import mil

    config, width = stage.config, int(stage.at["width"])
    assert isinstance(config, MilConfig)
    runs = ((20, 64, 1), (20, 64, 3), (60, 64, 2), (20, 1024, 1), (20, 1024, 2))
    for number, (slides, tiles, epochs) in enumerate(runs):
        root = watch.folder / f"data{number}"
        for k in range(slides):
            write_random(root / f"s{k}.h5", tiles, width, seed=k)
        rows = [{"slide": f"s{k}", "label": "ab"[k % 2], "group": f"p{k}"} for k in range(slides)]
        write_csv(root / "labels.csv", ["slide", "label", "group"], rows)
        changes = {
            "target": {"kind": "classes"},
            "positive": None,
            "null": 0,
            "controls": False,
            "split": {"mode": "folds", "files": None},
            "train": {"epochs": epochs, "min_epochs": epochs, "repeats": 3, "final": False},
        }

        def call(out: Path, progress: Any, changes: Any = changes, root: Path = root) -> None:
            plain = _without(config, "sources", "data") | {
                "data": {"layout": "features", "root": root, "labels": root / "labels.csv"},
                "sources": {"frozen": {}},
            }
            mil(plain, changes=changes, out=out, device=device, progress=progress)

        watch.run(
            call,
            {"train": mil_work(config, slides, tiles, epochs)},
            part_of=lambda job: "train" if " trial " in job else "",
            once={"start": 1.0, "tile": 3.0 * slides * tiles, "slide": float(slides)},
            kept={"trial": 3.0},
            held={"start": 1.0, "tile": float(slides * tiles)},
        )
    return f"random bags of 64 and 1,024 tiles of {width} numbers"


def _without(config: Settings, *keys: str) -> dict[str, Any]:
    return config.model_dump(mode="python", exclude=set(keys), exclude_unset=True)


def _lines(path: Path) -> int:
    return sum(1 for _ in path.open(encoding="utf-8")) - 1


RUNS: Mapping[str, Callable[[Stage, Any, str], str]] = {
    "encode slides": _slides,
    "encode st": _sections,
    "encode patches": _patches,
    "pretrain": _pretraining,
    "embed": _embedding,
    "probe": _probing,
    "mil": _bags,
}
