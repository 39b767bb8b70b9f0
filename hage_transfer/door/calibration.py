"""The runs that rates are taken from: the commands themselves, with a config's own settings, on small made-up data."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hage_transfer.config import Settings
from hage_transfer.door import calibration_encode
from hage_transfer.door.calibration_data import random_encoder, write_random, write_section
from hage_transfer.door.calibration_encode import LONG_S
from hage_transfer.door.planned_work import Stage, mil_work
from hage_transfer.door.recipes import resolve_config
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.atomic import write_csv

_PANEL_SPOTS = (160, 640)


def _pretraining(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic sections of three patients, one held out; the config's systems, panel size and widths."""
    from hage_transfer.door.pretrain import pretrain

    config, genes, width = stage.config, int(stage.at["genes"]), int(stage.at["width"])
    assert isinstance(config, PretrainConfig)
    symbols = [f"GENE{number}" for number in range(genes)]
    (watch.folder / "panel.txt").write_text("\n".join(symbols), encoding="utf-8")
    few, many = _PANEL_SPOTS
    runs = ((few, 1, 2, "A"), (few, 3, 3, "A"), (many, 1, 2, "A"), (many, 2, 2, "AB"))
    for number, (n, epochs, trials, held_out) in enumerate(runs):
        root = watch.folder / f"data{number}"
        for place, name in enumerate(("A1", "B1", "C1")):
            write_section(root, name, symbols, n, width, seed=place)

        def call(out: Path, progress: Any, at: Path = root, run: tuple[int, int, int, str] = runs[number]) -> None:
            _, epochs, trials, held_out = run
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
                "split.held_out": [one if config.split.unit == "patient" else f"{one}1" for one in held_out],
                "split.train": None,
            }
            pretrain(resolve_config(PretrainConfig, config, changes), out=out, device=device, progress=progress)

        every, test = 3.0 * n, float(n)
        training = 2 * n * (1 - config.split.validation)
        names = [part.name for part in stage.parts if part.name != "start"]
        entrants = [name for name in names if name not in ("scores", "controls")]
        trained = sum(trials if _is_drawn(name) else 1 for name in entrants)
        work = {name: {"job": 1.0, "spot": every, "spot_epoch": training * epochs} for name in entrants}
        work["scores"] = {"job": 1.0, "spot": every, "trial_spot": trained * test}
        work["controls"] = {"job": 1.0, "spot": every}
        left = {"trial": float(trained), "trial_spot": trained * test, "fold": 1.0}

        def part_of(job: str) -> str:
            words = job.split(" ")
            return words[1] if len(words) > 1 else ""

        watch.run(
            call,
            {name: work[name] for name in names},
            part_of=part_of,
            once={"start": 1.0, "spot": every},
            kept={"run": 1.0, **{key: len(held_out) * one for key, one in left.items()}},
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
    """Random features with labels, two or three sources."""
    from hage_transfer.door.probe import probe

    config, width = stage.config, int(stage.at["width"])
    assert isinstance(config, ProbeConfig)
    for number, (n, n_sources) in enumerate(((2_000, 2), (2_000, 3), (8_000, 2), (32_000, 2))):
        root = watch.folder / f"data{number}"
        keys = write_random(root / "features.h5", n, width, seed=number, keyed=True)
        rows = [{"key": key, "label": "ab"[k % 2], "group": f"g{k // 20}"} for k, key in enumerate(keys)]
        write_csv(root / "labels.csv", ["key", "label", "group"], rows)
        changes = {
            "features": root,
            "sources": {f"s{name}": {"features": root / "features.h5"} for name in range(n_sources)},
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
            once={"start": 1.0, "row": float(n), "trial_row": float(n_sources * n)},
            kept={"run": 1.0, "trial": float(n_sources), "trial_row": float(n_sources * n)},
            held={"start": 1.0, "row": float(n)},
        )
    return f"random features of {width} numbers, two classes, up to 32,000 rows"


def _bags(stage: Stage, watch: Any, device: str) -> str:
    """Random bags with labels, two or three trials of one source."""
    from hage_transfer.door.mil import mil

    config, width = stage.config, int(stage.at["width"])
    assert isinstance(config, MilConfig)
    runs = ((20, 64, 1, 3), (20, 64, 3, 2), (60, 64, 2, 3), (20, 1024, 1, 3), (20, 1024, 2, 3))
    for number, (slides, tiles, epochs, repeats) in enumerate(runs):
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
            "train": {"epochs": epochs, "min_epochs": epochs, "repeats": repeats, "final": False},
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
            once={"start": 1.0, "tile": float(repeats * slides * tiles), "slide": float(slides)},
            kept={"run": 1.0, "trial": float(repeats)},
            held={"start": 1.0, "tile": float(slides * tiles)},
        )
    return f"random bags of 64 and 1,024 tiles of {width} numbers"


def _without(config: Settings, *keys: str) -> dict[str, Any]:
    return config.model_dump(mode="python", exclude=set(keys), exclude_unset=True)


RUNS: Mapping[str, Callable[[Stage, Any, str], str]] = {
    "encode slides": calibration_encode.slides,
    "encode st": calibration_encode.sections,
    "encode patches": calibration_encode.patches,
    "pretrain": _pretraining,
    "embed": _embedding,
    "probe": _probing,
    "mil": _bags,
}
