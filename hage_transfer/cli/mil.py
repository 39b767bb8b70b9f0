"""`hage mil`: cross-validated comparison of feature sources with AB-MIL."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from hage_transfer.cli import options
from hage_transfer.cli.classify import COLUMNS, STYLE, show_differences, show_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hage_transfer.compare.results import Results
    from hage_transfer.data.labels import LabelTable
    from hage_transfer.mil.config import MilConfig


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def mil(
        config: options.Config,
        set_: options.Set = None,
        out: options.Out = None,
        seed: options.Seed = None,
        device: options.Device = "auto",
        jobs: options.Jobs = 1,
        overwrite: options.Overwrite = False,
    ) -> None:
        """Compare slide feature sources with AB-MIL on the same folds and seeds."""
        from hage_transfer.config import load_config
        from hage_transfer.mil.config import MilConfig

        overrides = [*(set_ or []), *([] if seed is None else [f"seed={seed}"])]
        settings = load_config(MilConfig, config, overrides)
        folder = out or Path("runs") / f"mil-{config.stem}"
        results = run_mil(settings, out=folder, device=device, jobs=jobs, overwrite=overwrite)
        show_table(results, Console())
        show_quoted(settings.quoted, Console())
        show_differences(folder, Console())
        Console().print(f"run directory: {folder}", markup=False, soft_wrap=True)


def run_mil(config: "MilConfig", *, out: Path, device: str, jobs: int, overwrite: bool) -> "Results":
    """Runs (or resumes) a MIL run in ``out``: encode what is not encoded, embed, train, test, write.

    What can be wrong with labels, folds and sources is found before anything is written to ``out``.

    Raises:
        InputError: config, features, labels or encoders that are wrong; the message says which.
        ItemsFailedError: some trainings failed; they are in ``failures.csv``.
    """
    from hage_transfer.compare.classification import positive_class
    from hage_transfer.config import FeatureSetSettings, SlideSetSettings
    from hage_transfer.data.labels import read_labels
    from hage_transfer.encode.bags import encode_bags
    from hage_transfer.encode.sources import check_sources, needs_frozen, resolve_sources, side_by_side
    from hage_transfer.mil.bags import open_bags
    from hage_transfer.mil.evaluate import evaluate_mil
    from hage_transfer.mil.folds import mil_folds
    from hage_transfer.running.devices import resolve_device
    from hage_transfer.running.progress import run_log, shown
    from hage_transfer.running.run_directory import RunDirectory

    resolved = resolve_device(device)
    check_sources(config.sources)
    if isinstance(config.data, FeatureSetSettings):
        frozen, table = config.data.root, config.data.labels
    else:
        frozen, table = config.features / "features", config.features / "labels.csv"
        if isinstance(config.data, SlideSetSettings):
            mil_folds(config, with_sites(read_labels(config.data.labels), config))  # before hours of encoding
        if needs_frozen(config.sources):
            encode_bags(config, device=resolved, overwrite=False)
        elif isinstance(config.data, SlideSetSettings):
            table = config.data.labels  # what an earlier encoding left beside its features may be out of date
    labels = with_sites(read_labels(table), config)
    positive_class(labels.classes, config.positive)
    mil_folds(config, labels)
    if needs_frozen(config.sources):
        open_bags(frozen, labels, quiet=True)
    run = RunDirectory.open(out, config, overwrite=overwrite)
    with run_log(run), shown("mil") as progress:
        paths = resolve_sources(config.sources, frozen=frozen, out=out, device=resolved)
        trials = side_by_side(config.sources, paths, repeats=config.train.repeats)
        results = evaluate_mil(config, labels, trials, run=run, device=resolved, n_jobs=jobs, progress=progress)
        results.save(run.results_path)
    return results


def show_quoted(quoted: "Mapping[str, Mapping[str, float]]", console: Console) -> None:
    """Prints published numbers, which nothing here was measured for, in the columns of the table above."""
    if not quoted:
        return
    from rich.table import Table

    table = Table("quoted, not measured here", *COLUMNS[0].values(), **STYLE)
    for system, values in quoted.items():
        table.add_row(system, *(f"{values[name]:.3f}" if name in values else "" for name in COLUMNS[0]))
    console.print(table)


def with_sites(labels: "LabelTable", config: "MilConfig") -> "LabelTable":
    """Labels with the sites of the slide table that they were made from, which `labels.csv` beside features lacks."""
    from dataclasses import replace

    import numpy as np

    from hage_transfer.config import SlideSetSettings
    from hage_transfer.data.labels import read_labels

    if labels.sites is not None or not isinstance(config.data, SlideSetSettings):
        return labels
    published = read_labels(config.data.labels)
    if published.sites is None:
        return labels
    site = dict(zip(published.keys.tolist(), published.sites.tolist(), strict=True))
    return replace(labels, sites=np.array([site[key] for key in labels.keys.tolist()]))
