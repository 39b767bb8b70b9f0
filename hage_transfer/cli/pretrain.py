"""`hage pretrain`: folds x trials of HAGE on spatial transcriptomics, beside the baselines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hage_transfer.cli import options
from hage_transfer.cli.gene_tables import show_gene_table, show_paired_differences
from hage_transfer.errors import ConfigError

if TYPE_CHECKING:
    from hage_transfer.compare.results import Results
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.running.jobs import Engine


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
        from hage_transfer.pretrain.config import PretrainConfig

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
    from hage_transfer.pretrain.config import METHOD_NAMES

    if methods is None:
        return []
    names = METHOD_NAMES if methods == "all" else [name.strip() for name in methods.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"--methods {methods!r}: names none; wanted `all`, or some of {', '.join(METHOD_NAMES)}")
    return [f"methods=[{', '.join(names)}]"]


def variant_overrides(path: Path | None) -> list[str]:
    """``--variants`` as overrides of the config.

    Raises:
        ConfigError: the file is missing, or is no mapping of names to mappings of keys.
    """
    import json

    from hage_transfer.config import read_yaml

    if path is None:
        return []
    tree = read_yaml(path)
    if not tree:
        raise ConfigError(f"{path}: names no variant; wanted lines like `no_ha: {{loss.clip_global: 0}}`")
    for name, changes in tree.items():
        if not isinstance(changes, dict) or not changes:
            raise ConfigError(
                f"{path}: {name} is {changes!r}, wanted a mapping of keys, for example {{loss.clip_global: 0}}"
            )
    try:
        return [f"variants={json.dumps(tree)}"]
    except TypeError as error:  # YAML knows dates, which no key of ours takes
        raise ConfigError(f"{path}: holds a value that no key takes ({error})") from None


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
    from hage_transfer.pretrain.inputs import read_inputs
    from hage_transfer.pretrain.run import pretrain
    from hage_transfer.running.devices import resolve_device
    from hage_transfer.running.progress import run_log, shown
    from hage_transfer.running.run_directory import RunDirectory

    resolved = resolve_device(device)
    if engine == "ray" and ":" in resolved:
        raise ConfigError(
            f"--device {device} with --engine ray: Ray gives each job a GPU of its own; use --device cuda"
        )
    inputs = read_inputs(config)  # before anything is written or, with --overwrite, deleted
    run = RunDirectory.open(out, config, overwrite=overwrite)
    with run_log(run), shown("pretrain") as progress:
        return pretrain(
            config, inputs, run, device=resolved, n_jobs=jobs, engine=engine, address=address, progress=progress
        )
