"""`hage probe`: cross-validated comparison of feature sources with the linear probe and its cross-checks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hage_transfer.cli import options
from hage_transfer.cli.classify import show_cross_checks, show_curve, show_differences, show_table

if TYPE_CHECKING:
    from hage_transfer.compare.results import Results
    from hage_transfer.probes.config import ProbeConfig


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def probe(
        config: options.Config,
        set_: options.Set = None,
        out: options.Out = None,
        seed: options.Seed = None,
        device: options.Device = "auto",
        jobs: options.Jobs = 1,
        overwrite: options.Overwrite = False,
        select: Annotated[
            bool, typer.Option("--select", help="Write which encoder did best to selected.json, for `hage mil`.")
        ] = False,
    ) -> None:
        """Compare patch feature sources with the linear probe on the same folds and seeds."""
        from hage_transfer.config import load_config
        from hage_transfer.encode import selection
        from hage_transfer.probes.config import ProbeConfig

        overrides = [*(set_ or []), *([] if seed is None else [f"seed={seed}"])]
        settings = load_config(ProbeConfig, config, overrides)
        folder = out or Path("runs") / f"probe-{config.stem}"
        encoders = selection.candidates(settings.sources) if select else []
        results = run_probe(settings, out=folder, device=device, jobs=jobs, overwrite=overwrite)
        show_table(results, Console())
        show_cross_checks(results, Console())
        show_curve(results, Console())
        show_differences(folder, Console())
        if select:
            chosen = selection.select(results, encoders, metric=settings.select_by, run=folder)
            value, rows = chosen[settings.select_by], chosen["selected_by"]["rows"]
            Console().print(
                f"selected: {chosen['encoder']} ({settings.select_by} {value:.3f} on {rows} rows), written to "
                f"{folder / selection.SELECTED_FILE}",
                markup=False,
                soft_wrap=True,
            )
        Console().print(f"run directory: {folder}", markup=False, soft_wrap=True)


def run_probe(config: "ProbeConfig", *, out: Path, device: str, jobs: int, overwrite: bool) -> "Results":
    """Runs (or resumes) a probe run in ``out``: encode what is not encoded, embed, train, test, write.

    What can be wrong with labels, folds and sources is found before anything is written to ``out``.

    Raises:
        InputError: config, features, labels or encoders that are wrong; the message says which.
        ItemsFailedError: some probes failed; they are in ``failures.csv``.
    """
    from hage_transfer.compare.classification import positive_class
    from hage_transfer.data.labels import map_labels, read_labels
    from hage_transfer.encode.sections_and_patches import encode_patches
    from hage_transfer.encode.sources import check_sources, needs_frozen, resolve_sources, side_by_side
    from hage_transfer.probes.evaluate import evaluate_probes
    from hage_transfer.probes.folds import probe_folds, read_parts
    from hage_transfer.running.devices import resolve_device
    from hage_transfer.running.progress import run_log, shown
    from hage_transfer.running.run_directory import RunDirectory

    resolved = resolve_device(device)
    check_sources(config.sources)
    if config.split.parts is not None:
        read_parts(config.split.parts)
    if needs_frozen(config.sources):
        encode_patches(
            config,
            device=resolved,
            overwrite=False,
            check=lambda labels: probe_folds(config.split, map_labels(labels, config.label_map)),
        )
    labels = map_labels(read_labels(config.features / "labels.csv"), config.label_map)
    positive_class(labels.classes, config.positive)
    probe_folds(config.split, labels)
    run = RunDirectory.open(out, config, overwrite=overwrite)
    with run_log(run), shown("probe") as progress:
        paths = resolve_sources(config.sources, frozen=config.features / "features.h5", out=out, device=resolved)
        sources = side_by_side(config.sources, paths)
        results = evaluate_probes(config, labels, sources, run=run, device=resolved, n_jobs=jobs, progress=progress)
        results.save(run.results_path)
    return results
