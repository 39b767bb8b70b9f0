"""A small MIL run with heatmaps over slides it makes, and servers to ask."""

import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile
import uvicorn

from hage_transfer.viewer.app import make_app
from hage_transfer.viewer.contents import Contents
from hage_transfer.viewer.layer import GeneSets
from hage_transfer.viewer.opened_run import OpenedRun
from hage_transfer.viewer.run_kinds import read_contents
from hage_transfer.viewer.server import listening

GENES = ["ERBB2", "ESR1", "COL1A1"]
GENE_SETS = {"HORMONE": ("ESR1", "PGR", "ERBB2"), "NONE_OF_THEM": ("TP53",)}
TILE_PX = 128


def write_slide(path: Path, *, width: int = 1500, height: int = 1100, seed: int = 0, levels: bool = True) -> Path:
    """A tiled TIFF of noise over a gradient, 0.5 um per px, with two reduced levels or none."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 / width, y * 255 / height, rng.integers(0, 255, (height, width))], axis=2).astype(
        np.uint8
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as tiff:
        for factor in (1, 2, 4) if levels else (1,):
            options = {"resolution": (2e4 / factor,) * 2, "resolutionunit": "CENTIMETER", "tile": (128, 128)}
            tiff.write(image[::factor, ::factor], subfiletype=int(factor > 1), photometric="rgb", **options)
    return path


def write_tiles(path: Path, *, genes: list[str], seed: int = 0, columns: int = 8, rows: int = 6) -> ad.AnnData:
    """The file that `hage heatmap` writes of one slide."""
    rng = np.random.default_rng(seed)
    count = columns * rows
    attention = rng.dirichlet(np.ones(count))
    obs = pd.DataFrame(
        {
            "tile": np.arange(count),
            "x_px": np.tile(np.arange(columns), rows) * TILE_PX,
            "y_px": np.repeat(np.arange(rows), columns) * TILE_PX,
            "width_px": float(TILE_PX),
            "height_px": float(TILE_PX),
            "attention": attention,
            "percentile": attention.argsort().argsort() * 100 / (count - 1),
            "probability_tumour": rng.uniform(size=count),
        },
        index=[str(number) for number in range(count)],
    )
    expression = rng.normal(size=(count, len(genes))).astype(np.float32)
    options = {"X": expression, "var": pd.DataFrame({"heldout_pcc": [0.1, 0.3, 0.2][: len(genes)]}, index=genes)}
    table = ad.AnnData(obs=obs, **(options if genes else {}))
    table.obsm["spatial"] = obs[["x_px", "y_px"]].to_numpy() + TILE_PX / 2
    table.uns["hage"] = {
        "name": path.parent.name,
        "preset": "spot_log10",
        "cautions": np.array(["attention is nearly even"], dtype=object),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_h5ad(path)
    return table


def write_mil_run(folder: Path, *, n_slides: int = 2, heatmaps: bool = True, **size: int) -> Path:
    """A run of two sources over slides ``s0``, ``s1``, ...; `s0` has tissue, and one slide more is not there."""
    run, names = folder / "run", [f"s{number}" for number in range(n_slides)]
    for number, name in enumerate(names):
        write_slide(folder / "slides" / f"{name}.tif", seed=number, **size)
    rows = [
        {
            "source": source,
            "trial": trial,
            "slide": name,
            "fold": number % 2,
            "label": "tumour",
            "predicted": "tumour",
            "probability_normal": 0.1 * (number + 1),
            "probability_tumour": 1 - 0.1 * (number + 1),
        }
        for source in ("frozen", "hage")
        for trial in (0, 1)
        for number, name in enumerate([*names, "gone"])
    ]
    run.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(run / "predictions.csv", index=False)
    config = f"data: {{layout: slides, root: {folder / 'slides'}, labels: t.csv}}\nfeatures: {folder / 'features'}\n"
    (run / "config.yaml").write_text(config, encoding="utf-8")
    ring = [[100, 100], [900, 100], [900, 700], [100, 700], [100, 100]]
    piece = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (folder / "features" / "geojson").mkdir(parents=True)
    tissue = json.dumps({"type": "FeatureCollection", "features": [piece]})
    (folder / "features" / "geojson" / "s0.geojson").write_text(tissue, encoding="utf-8")
    for source, genes in (("frozen", []), ("hage", GENES)) if heatmaps else ():
        table = []
        for number, name in enumerate(names):
            write_tiles(run / "heatmaps" / source / name / "tiles.h5ad", genes=genes, seed=number)
            facts = {"label": "tumour", "predicted": "tumour", "probability": 0.9 - 0.1 * number, "fold": number % 2}
            table.append({"slide": name, "path": folder / "slides" / f"{name}.tif", **facts, "n_tiles": 48, "mpp": 0.5})
        pd.DataFrame(table).to_csv(run / "heatmaps" / source / "slides.csv", index=False)
    return run


def write_application(folder: Path, run: Path) -> Path:
    """What `hage apply` leaves of the slides of a MIL run, of which `s1` is doubtful and abstained."""
    shutil.copytree(run, folder / "as_run", ignore=shutil.ignore_patterns("hage"))
    predicted = pd.read_csv(run / "predictions.csv").query("source == 'frozen'").assign(label="unlabelled")
    predicted.to_csv(folder / "as_run" / "predictions.csv", index=False)
    heatmaps = folder / "as_run" / "heatmaps" / "frozen" / "slides.csv"
    pd.read_csv(heatmaps).assign(label="unlabelled").to_csv(heatmaps, index=False)
    scores = {"slide": ["s0", "s1", "gone"], "call": "tumour", "calibrated": [0.7, 0.4, 0.6], "doubt": [0.5, 1.4, 0.9]}
    table = pd.DataFrame(scores).assign(abstained=[False, True, False], why=["", "its tiles are unlike training's", ""])
    table.to_csv(folder / "scores.csv", index=False)
    facts = {"task": "mil", "positive": "normal", "slides": str(run.parent / "slides")}
    (folder / "apply.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


TARGETS = {
    "survival": (
        {"kind": "survival", "time": "months", "event": "died", "loss": "cox"},
        {"label": "event", "time": 12.5, "event": 1, "risk": [-0.5, 1.25, 0.25]},
    ),
    "regression": ({"kind": "regression", "column": "ki67"}, {"label": 31.5, "predicted": [20.5, 44.25, 30.0]}),
}


def write_target_application(folder: Path, run: Path, kind: str) -> Path:
    """The same of a target beyond classes, which has scores in place of calls."""
    write_application(folder, run)
    target, said = TARGETS[kind]
    rows = pd.DataFrame({"source": "frozen", "trial": 0, "slide": ["s0", "s1", "gone"], "fold": 0, **said})
    rows.to_csv(folder / "as_run" / "predictions.csv", index=False)
    (folder / "as_run" / "config.yaml").write_text(f"target: {json.dumps(target)}\n", encoding="utf-8")
    heatmaps = folder / "as_run" / "heatmaps" / "frozen" / "slides.csv"
    of_slides = rows.drop(columns=["source", "trial"]).assign(fold=rows.pop("fold"))
    places = pd.read_csv(heatmaps)[["slide", "path", "n_tiles", "mpp"]]
    of_slides.merge(places, on="slide").to_csv(heatmaps, index=False)
    scores = pd.read_csv(folder / "scores.csv").drop(columns=["call", "calibrated", "abstained"])
    scores.to_csv(folder / "scores.csv", index=False)
    return folder


class Server:
    """A viewer that runs in a thread; paths are sent as they are written."""

    def __init__(self, address: str, contents: Contents) -> None:
        self.address, self.contents = address, contents
        self.port = int(address.rstrip("/").rpartition(":")[2])

    def ask(self, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@contextmanager
def running(run: Path, slides: Path | None = None, *, gene_sets: GeneSets | None = None) -> Iterator[Server]:
    opened = OpenedRun(partial(read_contents, run, slides=slides), gene_sets=gene_sets)
    with listening(0) as (sock, address):
        config = uvicorn.Config(make_app(opened), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield Server(address, opened.contents)
        finally:
            server.should_exit = True
            thread.join()
            opened.close()


@pytest.fixture(scope="session")
def mil_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MIL run with heatmaps."""
    return write_mil_run(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="module")
def server(mil_run: Path) -> Iterator[Server]:
    """The viewer of ``mil_run``."""
    with running(mil_run, gene_sets=GENE_SETS) as one:
        yield one


@pytest.fixture(scope="session")
def make_mil_run() -> Callable[..., Path]:
    """Writer of MIL runs: (folder, n_slides=2, heatmaps=True, width=..., height=...)."""
    return write_mil_run


@pytest.fixture(scope="session")
def application(mil_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application of a classifier to the slides of ``mil_run``."""
    return write_application(tmp_path_factory.mktemp("applied"), mil_run)


@pytest.fixture(scope="session")
def make_target_application(mil_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writer of applications of targets beyond classes to the slides of ``mil_run``: (kind)."""
    return lambda kind: write_target_application(tmp_path_factory.mktemp(kind), mil_run, kind)


@pytest.fixture(scope="session")
def make_slide() -> Callable[..., Path]:
    """Writer of slides: (path, width=..., height=..., seed=..., levels=True)."""
    return write_slide


@pytest.fixture(scope="session")
def make_tiles() -> Callable[..., ad.AnnData]:
    """Writer of tile tables: (path, genes=..., seed=...)."""
    return write_tiles


@pytest.fixture(scope="session")
def run_server() -> Callable[..., object]:
    """Runs a viewer: a context manager of (run, slides=None, gene_sets=None)."""
    return running
