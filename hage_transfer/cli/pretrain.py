"""`hage pretrain`: folds x trials of HAGE on spatial transcriptomics, beside the baselines."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from hage_transfer.cli import options

if TYPE_CHECKING:
    from hage_transfer.results import Results
    from pretrain.config import PretrainConfig

COLUMNS = {"pcc_all": "PCC all", "pcc_heg50": "PCC HEG", "mse": "MSE", "mae": "MAE"}


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def pretrain(
        config: options.Config,
        set_: options.Set = None,
        out: options.Out = None,
        seed: options.Seed = None,
        device: options.Device = "auto",
        jobs: options.Jobs = 1,
        overwrite: options.Overwrite = False,
    ) -> None:
        """Train HAGE on ST sections, leaving out each patient (or section) in turn; writes encoder directories."""
        from hage_transfer.config import load_config
        from pretrain.config import PretrainConfig

        overrides = [*(set_ or []), *([] if seed is None else [f"seed={seed}"])]
        settings = load_config(PretrainConfig, config, overrides)
        folder = out or Path("runs") / config.stem
        results = run_pretrain(settings, out=folder, device=device, jobs=jobs, overwrite=overwrite)
        show_gene_table(results, Console())
        Console().print(
            f"run directory {folder}; encoder of the best validation PCC: {folder / 'encoder'}", soft_wrap=True
        )


def run_pretrain(config: "PretrainConfig", *, out: Path, device: str, jobs: int, overwrite: bool) -> "Results":
    """Runs (or resumes) a pretraining run in ``out``."""
    from hage_transfer.cli.progress import job_progress, run_log
    from hage_transfer.devices import resolve_device
    from hage_transfer.run_directory import RunDirectory
    from pretrain.inputs import read_inputs
    from pretrain.run import pretrain

    resolved = resolve_device(device)
    inputs = read_inputs(config)  # before anything is written or, with --overwrite, deleted
    run = RunDirectory.open(out, config, overwrite=overwrite)
    with run_log(run), job_progress("pretrain") as progress:
        return pretrain(config, inputs, run, device=resolved, n_jobs=jobs, progress=progress)


def show_gene_table(results: "Results", console: Console) -> None:
    """Prints each method's mean and std over folds, with what the numbers depend on above them."""
    from hage_transfer.results import MEAN, STD

    meta = results.meta
    n_folds = len(meta["folds"])
    console.print(
        f"preset {meta['preset']}, leave one {meta['split_unit']} out ({n_folds} fold{'s' * (n_folds > 1)}), "
        f"HEG: {meta['heg_rule']}, encoder {meta['encoder']}",
        soft_wrap=True,
    )
    table = Table("method", *COLUMNS.values(), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    calibrated = {record.source for record in results.records if record.metric == "mse_calibrated"}
    for source in dict.fromkeys(record.source for record in results.records):
        cells = []
        for metric in COLUMNS:
            name = f"{metric}_calibrated" if source in calibrated and metric in ("mse", "mae") else metric
            found = {r.fold: r.value for r in results.select(source=source, metric=name, trial=None, section=None)}
            mean, std = found.get(MEAN), found.get(STD)
            cells.append("" if mean is None else f"{mean:.3f}" + (f" ± {std:.3f}" if std is not None else ""))
        table.add_row(source, *cells)
    console.print(table)
    console.print(
        "MSE and MAE of HAGE are of calibrated predictions; raw ones, of no scale, are in results.json", soft_wrap=True
    )
    for warning in meta["warnings"]:
        console.print(f"note: {warning}", style="yellow", markup=False, soft_wrap=True)
