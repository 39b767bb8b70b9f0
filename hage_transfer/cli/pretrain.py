"""`hage pretrain`: folds x trials of HAGE on spatial transcriptomics, beside the baselines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from hage_transfer.cli import options

if TYPE_CHECKING:
    from hage_transfer.jobs import Engine
    from hage_transfer.results import Results
    from pretrain.config import PretrainConfig

COLUMNS = {"pcc_all": "PCC all", "pcc_heg50": "PCC HEG", "mse": "MSE", "mae": "MAE"}


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""

    @app.command()
    def pretrain(
        config: options.Config,
        set_: options.Set = None,
        methods: Annotated[
            str | None,
            typer.Option(help="Compared systems, comma-separated, or `all` (Table 1); config key `methods`."),
        ] = None,
        variants: Annotated[
            Path | None,
            typer.Option(
                help="YAML of named variants of HAGE, an ablation or a grid; configs/pretrain/variants has some."
            ),
        ] = None,
        out: options.Out = None,
        seed: options.Seed = None,
        device: options.Device = "auto",
        jobs: options.Jobs = 1,
        engine: options.Engine = "processes",
        address: options.Address = None,
        overwrite: options.Overwrite = False,
    ) -> None:
        """Train HAGE on ST sections, leaving out each patient (or section) in turn; writes encoder directories."""
        from hage_transfer.config import load_config
        from pretrain.config import PretrainConfig

        overrides = [*(set_ or []), *([] if seed is None else [f"seed={seed}"])]
        overrides += method_overrides(methods) + variant_overrides(variants)
        settings = load_config(PretrainConfig, config, overrides)
        folder = out or Path("runs") / config.stem
        results = run_pretrain(
            settings, out=folder, device=device, jobs=jobs, engine=engine, address=address, overwrite=overwrite
        )
        console = Console()
        show_gene_table(results, console)
        show_paired_differences(results, console)
        made = f"; encoder of the best validation PCC: {folder / 'encoder'}" if (folder / "encoder").is_dir() else ""
        console.print(f"run directory {folder}{made}", markup=False, soft_wrap=True)


def method_overrides(methods: str | None) -> list[str]:
    """``--methods`` as an override of the config."""
    from pretrain.config import METHOD_NAMES

    if methods is None:
        return []
    names = METHOD_NAMES if methods == "all" else [name.strip() for name in methods.split(",")]
    return [f"methods=[{', '.join(names)}]"]


def variant_overrides(path: Path | None) -> list[str]:
    """``--variants`` as overrides of the config.

    Raises:
        ConfigError: the file is missing, or is no mapping of names to mappings of keys.
    """
    import json

    from hage_transfer.config import read_yaml
    from hage_transfer.errors import ConfigError

    if path is None:
        return []
    tree = read_yaml(path)
    for name, changes in tree.items():
        if not isinstance(changes, dict) or not changes:
            raise ConfigError(
                f"{path}: {name} is {changes!r}, wanted a mapping of keys, for example {{loss.clip_global: 0}}"
            )
    return [f"variants={json.dumps(tree)}"]


def run_pretrain(
    config: "PretrainConfig",
    *,
    out: Path,
    device: str,
    jobs: int,
    overwrite: bool,
    engine: "Engine" = "processes",
    address: str | None = None,
) -> "Results":
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
        return pretrain(
            config, inputs, run, device=resolved, n_jobs=jobs, engine=engine, address=address, progress=progress
        )


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
        "MSE and MAE of HAGE are of calibrated predictions; raw ones, of no scale, are in results.json",
        soft_wrap=True,
    )
    for name, method in meta.get("methods", {}).items():
        console.print(f"{name}: {method['title']}, {method['reference']}", markup=False, soft_wrap=True)
    for warning in meta["warnings"]:
        console.print(f"note: {warning}", style="yellow", markup=False, soft_wrap=True)


def show_paired_differences(results: "Results", console: Console) -> None:
    """Prints each variant's differences from HAGE, trial by trial; nothing where there is no variant."""
    variants = results.meta.get("variants", {})
    found = {(one["source"], one["metric"]): one for one in results.meta.get("differences", [])}
    if not variants or not found:
        return
    metrics = {"pcc_all": "PCC all", "pcc_heg50": "PCC HEG", "mse_calibrated": "MSE", "mae_calibrated": "MAE"}
    table = Table("less hage, by pair", *metrics.values(), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for name in variants:
        cells = []
        for metric in metrics:
            one = found.get((name, metric))
            spread = "" if one is None or one["std"] is None else f" ± {one['std']:.4f}"
            cells.append("" if one is None else f"{one['mean']:+.4f}{spread} ({one['n_above']}/{one['n_pairs']} up)")
        table.add_row(name, *cells)
    console.print(table)
