"""`hage demo`: the whole chain on synthetic tissue, from data to report."""

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hage_transfer.cli import options
from hage_transfer.errors import ConfigError
from hage_transfer.heatmap_files import HEATMAPS_FOLDER

if TYPE_CHECKING:
    from hage_transfer.demo.files import DemoFiles, DemoSize
    from hage_transfer.mil.config import MilConfig
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.probes.config import ProbeConfig

log = logging.getLogger(__name__)

DEFAULT_OUT = Path("runs/demo")
FOLDERS = ("data", "features", "pretrain", "probe", "mil")
EXPLAINED_PER_CLASS = 2


@dataclass(frozen=True)
class DemoConfigs:
    """The configs of the three tasks, their paths in the demo's folder."""

    pretrain: "PretrainConfig"
    probe: "ProbeConfig"
    mil: "MilConfig"


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def demo(
        out: Annotated[Path, typer.Option(help="Folder to write to.")] = DEFAULT_OUT,
        seed: Annotated[int, typer.Option(help="Of the synthetic data and of training.", min=0)] = 0,
        device: options.Device = "auto",
        jobs: options.Jobs = 1,
        overwrite: options.Overwrite = False,
    ) -> None:
        """Make synthetic tissue with genes, then pretrain, probe, classify slides and report; minutes on two cores."""
        run_demo(out, seed=seed, device=device, jobs=jobs, overwrite=overwrite)


def run_demo(out: Path, *, seed: int, device: str, jobs: int, overwrite: bool, size: "DemoSize | None" = None) -> None:
    """Runs (or resumes) the demo in ``out`` and prints what came of it; ``size`` None: the full one.

    Raises:
        ConfigError: ``out`` holds a demo of another seed, and ``overwrite`` is not set.
    """
    from hage_transfer.cli.classify import show_differences, show_table
    from hage_transfer.cli.gene_tables import show_gene_table
    from hage_transfer.cli.mil import run_mil
    from hage_transfer.cli.pretrain import run_pretrain
    from hage_transfer.cli.probe import run_probe
    from hage_transfer.demo.files import FULL, write_demo_files
    from hage_transfer.encode.sections_and_patches import encode_sections
    from hage_transfer.report.page import write_report

    start = time.monotonic()
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / "data" / "made_with.json").is_file():
        raise ConfigError(f"{out}: exists and holds no demo; give another --out")
    if overwrite:
        for folder in FOLDERS:
            shutil.rmtree(out / folder, ignore_errors=True)
    log.info("1/6 synthetic tissue: ST sections, labelled patches, whole slides")
    files = write_demo_files(out / "data", seed=seed, size=size or FULL)
    configs = demo_configs(out, files, seed=seed)
    log.info("2/6 frozen features of the ST sections")
    encode_sections(configs.pretrain, device=device, overwrite=False)
    log.info("3/6 pretraining: HAGE and its baselines, each patient held out in turn")
    genes = run_pretrain(configs.pretrain, out=out / "pretrain", device=device, jobs=jobs, overwrite=False)
    log.info("4/6 patches and slides: frozen features against gene-informed embeddings")
    patches = run_probe(configs.probe, out=out / "probe", device=device, jobs=jobs, overwrite=False)
    slides = run_mil(configs.mil, out=out / "mil", device=device, jobs=jobs, overwrite=False)
    log.info("5/6 why slides were called: attention, and the genes of the tiles that decided")
    explain_demo_slides(configs.mil, out / "mil", device=device, jobs=jobs)
    log.info("6/6 report")
    runs = [out / "pretrain", out / "probe", out / "mil"]
    write_report(runs, out)
    console = Console()
    show_gene_table(genes, console)
    for results, run in zip((patches, slides), runs[1:], strict=True):
        show_table(results, console)
        show_differences(run, console)
    console.print(
        f"{time.monotonic() - start:.0f} s; open {out / 'report.html'}; `hage view {out / 'mil'}` shows the slides",
        markup=False,
        soft_wrap=True,
    )


def explain_demo_slides(config: "MilConfig", run: Path, *, device: str, jobs: int) -> None:
    """Heatmaps of the first slides of each class, for the gene-informed source."""
    from hage_transfer.cli.heatmap import show_explained
    from hage_transfer.data.labels import read_labels
    from hage_transfer.explain.run import HeatmapOptions, run_heatmap
    from hage_transfer.running.devices import resolve_device

    labels = read_labels(config.features / "labels.csv")
    first = [name for label in labels.classes for name in labels.keys[labels.labels == label][:EXPLAINED_PER_CLASS]]
    options = HeatmapOptions(
        sources=("hage",),
        slides=tuple(map(str, first)),
        top=8,
        share=0.1,
        genes=True,
        encoders=(),
        slide_folder=None,
    )
    out = run / HEATMAPS_FOLDER
    show_explained(
        run_heatmap(run, options, out=out, device=resolve_device(device), jobs=jobs, overwrite=False), Console()
    )


def demo_configs(out: Path, files: "DemoFiles", *, seed: int) -> DemoConfigs:
    """The demo's recipes with paths below ``out`` and the given seed."""
    from hage_transfer.config import load_config
    from hage_transfer.demo.recipes import demo_recipe
    from hage_transfer.mil.config import MilConfig
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.probes.config import ProbeConfig

    encoders = f"sources.hage.encoder={_quoted(out / 'pretrain' / 'encoders' / '*' / 'trial_*')}"

    def overrides(root: Path, features: str, *more: str) -> list[str]:
        return [
            f"data.root={_quoted(root)}",
            f"features={_quoted(out / 'features' / features)}",
            f"seed={seed}",
            *more,
        ]

    return DemoConfigs(
        pretrain=load_config(PretrainConfig, demo_recipe("pretrain"), overrides(files.sections, "st")),
        probe=load_config(ProbeConfig, demo_recipe("probe"), overrides(files.patches, "patches", encoders)),
        mil=load_config(
            MilConfig,
            demo_recipe("mil"),
            overrides(files.slides, "slides", encoders, f"data.labels={_quoted(files.slides / 'labels.csv')}"),
        ),
    )


def _quoted(path: Path) -> str:
    """A path as a YAML value, whatever is in its name."""
    import json

    return json.dumps(str(path), ensure_ascii=False)
