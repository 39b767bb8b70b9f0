"""The whole chain on synthetic tissue, from data to report."""

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hage_transfer.data.labels import read_labels
from hage_transfer.demo.files import DemoFiles, DemoSize, write_demo_files
from hage_transfer.door.demo_data import SIZES
from hage_transfer.door.encode_sections import encode_sections
from hage_transfer.door.explain import explain
from hage_transfer.door.given import PathLike
from hage_transfer.door.mil import mil
from hage_transfer.door.pretrain import pretrain
from hage_transfer.door.probe import probe
from hage_transfer.door.refused import refuse_device
from hage_transfer.door.report import ReportPage, report
from hage_transfer.door.run_results import RunResults
from hage_transfer.errors import ConfigError
from hage_transfer.running.devices import resolve_device
from hage_transfer.running.process_engine import kept_workers
from hage_transfer.running.progress import Progress, shown
from hage_transfer.running.run_directory import SYNTHETIC

if TYPE_CHECKING:
    from hage_transfer.explain.explained import Explained

log = logging.getLogger(__name__)

STAGES = {
    "synthetic tissue: ST sections, labelled patches, whole slides": 12,
    "frozen features of the ST sections": 13,
    "pretraining: HAGE and its baselines, each patient held out in turn": 32,
    "patches and slides: frozen features against gene-informed embeddings": 29,
    "why slides were called: attention, and the genes of the tiles that decided": 8,
    "report": 6,
}
"""What is done, and its share of the time in percent, on two idle cores with two jobs."""
TIMES = {"full": "two to three minutes on two idle cores", "small": "a minute and a half on two idle cores"}
FOLDERS = ("data", "features", "pretrain", "probe", "mil")
EXPLAINED_PER_CLASS = 2


@dataclass(frozen=True)
class DemoRuns:
    """What the demo made: its runs, the slides that it explained, and the page over all."""

    pretrain: RunResults
    probe: RunResults
    mil: RunResults
    explained: "Explained"
    report: ReportPage

    def _repr_html_(self) -> str:
        return "".join(part._repr_html_() for part in (self.pretrain, self.probe, self.mil, self.report))


class _Stages:
    """Says what begins and, from the second stage of a demo made anew, how long the rest takes at this pace."""

    def __init__(self, size: str, *, anew: bool) -> None:
        self._left, self._past, self._start = list(STAGES.items()), 0, time.monotonic()
        self._anew, self._first = anew, f"; all stages: {TIMES[size]}; stopped, it goes on where it was"

    def next(self) -> None:
        """The next stage begins."""
        name, share = self._left.pop(0)
        said = "" if self._past else self._first
        if self._past and self._anew:
            pace = (time.monotonic() - self._start) / self._past
            said = f": about {pace * share:.0f} s, {pace * (100 - self._past):.0f} s to the end"
        log.info("%d/%d %s%s", len(STAGES) - len(self._left), len(STAGES), name, said)
        self._past += share


@kept_workers()
def demo(
    out: PathLike = "runs/demo",
    *,
    size: str = "full",
    seed: int = 0,
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> DemoRuns:
    """Makes synthetic tissue with genes, then pretrains, probes, classifies slides, explains some and reports.

    Args:
        out: folder to write to; a demo that is there is gone on with.
        size: ``small``, or ``full``: minutes on two cores.
        seed: of the data and of training.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        jobs: at a time.
        overwrite: delete what an earlier demo made there first.
        progress: called with (done, total, name), stage by stage.

    Raises:
        ConfigError: ``out`` holds a demo of another seed or size, or no demo.
    """
    if size not in SIZES:
        raise ConfigError(f"size {size!r}: wanted {' or '.join(SIZES)}")
    refuse_device(device)
    if device != "auto":
        resolve_device(device)  # now, not after the data are made
    folder = Path(out)
    stages = _Stages(size, anew=overwrite or not (folder / "data" / SYNTHETIC).is_file())
    with shown("demo", progress) as tell:
        files = _files(folder, seed=seed, size=SIZES[size], overwrite=overwrite, stages=stages, progress=tell)
    runs: dict[str, Any] = {"seed": seed, "device": device, "jobs": jobs, "progress": progress}
    stages.next()
    features = encode_sections(
        files.sections,
        config="demo/pretrain",
        out=folder / "features" / "st",
        device=device,
        progress=progress,
    )
    stages.next()
    genes = pretrain("demo/pretrain", root=files.sections, features=features, out=folder / "pretrain", **runs)
    stages.next()
    runs["changes"] = {"sources": {"hage": {"encoder": folder / "pretrain" / "encoders" / "*" / "trial_*"}}}
    patches = probe(
        "demo/probe", root=files.patches, features=folder / "features" / "patches", out=folder / "probe", **runs
    )
    slides = mil(
        "demo/mil",
        root=files.slides,
        labels=files.slides / "labels.csv",
        features=folder / "features" / "slides",
        out=folder / "mil",
        **runs,
    )
    stages.next()
    first = _first_slides(folder / "features" / "slides" / "labels.csv")
    explained = explain(slides, source="hage", slides=first, device=device, progress=progress)
    stages.next()
    return DemoRuns(genes, patches, slides, explained, report([genes, patches, slides], out=folder))


def _files(
    folder: Path, *, seed: int, size: DemoSize, overwrite: bool, stages: _Stages, progress: Progress
) -> DemoFiles:
    marker = folder / "data" / SYNTHETIC
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not marker.is_file():
        raise ConfigError(f"{folder}: exists and holds no demo; give another out=")
    if overwrite:
        for name in FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
    stages.next()
    return write_demo_files(folder / "data", seed=seed, size=size, progress=progress)


def _first_slides(table: Path) -> list[str]:
    """Some of each class."""
    labels = read_labels(table)
    return [str(name) for one in labels.classes for name in labels.keys[labels.labels == one][:EXPLAINED_PER_CLASS]]
