"""`hage encode st|patches|slides`: frozen features of ST sections, labelled patches, slides and images as bags."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hage_transfer.cli import options

if TYPE_CHECKING:
    from hage_transfer.config import Settings
    from hage_transfer.encoders.items import Track
    from mil.config import MilConfig
    from pretrain.config import PretrainConfig
    from probes.config import ProbeConfig

log = logging.getLogger(__name__)

LABELS_FILE = "labels.csv"

Shard = Annotated[
    str | None, typer.Option(metavar="I/N", help="This worker's part of the slides (job arrays); 1/4 to 4/4.")
]

OtherLayout = Annotated[
    Literal["clam", "trident"] | None,
    typer.Option("--layout", help="Write features/<slide>.h5 and also this tool's folders, in <features>/<layout>/."),
]
Magnification = Annotated[
    float | None,
    typer.Option(help="--layout trident: magnification of the tiles; else 10 / data.mpp_um_per_px.", min=1e-6),
]

encode_app = typer.Typer(
    name="encode", help="Frozen features: ST sections, labelled patches, slides.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.add_typer(encode_app)


@encode_app.command("st")
def st_command(
    config: options.Config,
    overrides: options.Set = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Patch features of ST sections: one file per section, a row per spot (config of `hage pretrain`)."""
    from hage_transfer.config import load_config
    from pretrain.config import PretrainConfig

    encode_sections(load_config(PretrainConfig, config, overrides or ()), device=device, overwrite=overwrite)


@encode_app.command("patches")
def patches_command(
    config: options.Config,
    overrides: options.Set = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Features of labelled patches: features.h5 and labels.csv (config of `hage probe`)."""
    from hage_transfer.config import load_config
    from probes.config import ProbeConfig

    encode_patches(load_config(ProbeConfig, config, overrides or ()), device=device, overwrite=overwrite)


@encode_app.command("slides")
def slides_command(
    config: options.Config,
    overrides: options.Set = None,
    device: options.Device = "auto",
    mpp: options.Mpp = None,
    shard: Shard = None,
    jobs: options.Jobs = 1,
    engine: options.Engine = "processes",
    address: options.Address = None,
    layout: OtherLayout = None,
    magnification: Magnification = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Features of slides, or of images as bags: features/<slide>.h5, status.csv, labels.csv (config of `hage mil`).

    Any number of workers may be started on one list; each takes what is free, and what a killed one held.
    """
    from hage_transfer.cli.encode.bags import Workers, encode_bags
    from hage_transfer.cli.encode.layouts import Layout
    from hage_transfer.config import load_config
    from mil.config import MilConfig

    workers = Workers(shard=shard, jobs=jobs, engine=engine, address=address)
    encode_bags(
        load_config(MilConfig, config, options.with_mpp(overrides, mpp)),
        device=device,
        overwrite=overwrite,
        workers=workers,
        labels_needed=False,
        layout=None if layout is None else Layout(layout, magnification),
    )


def encode_sections(config: "PretrainConfig", *, device: str, overwrite: bool) -> None:
    """Writes ``<config.features>/<section>.h5`` of every section that has an image.

    Raises:
        InputError: a section, its image, the encoder or a feature file that is there already is not right.
    """
    from hage_transfer.cli.encode.sources import section_items
    from hage_transfer.data.sections import read_sections
    from hage_transfer.encoders.items import encode_items
    from hage_transfer.encoders.registry import find_weights

    find_weights(config.encoder)  # before minutes of reading
    items = section_items(
        read_sections(config.data),
        config.features,
        size_px=config.patch.size_px,
        mpp_um_per_px=config.patch.mpp_um_per_px,
    )
    with encode_progress() as track:
        encode_items(items, config.encoder, device=device, overwrite=overwrite, track=track)
    log.info("features of %d sections in %s", len(items), config.features)


def encode_patches(config: "ProbeConfig", *, device: str, overwrite: bool) -> None:
    """Writes ``features.h5`` and ``labels.csv`` (key, label, group) to ``config.features``.

    Raises:
        InputError: the patch set, the encoder or a feature file that is there already is not right.
    """
    from hage_transfer.cli.encode.sources import patch_set_item
    from hage_transfer.data.patches import read_patch_set
    from hage_transfer.encoders.items import encode_items
    from hage_transfer.encoders.registry import find_weights

    find_weights(config.encoder)
    refuse_manifest_at(config.features / LABELS_FILE, config.data)
    patches = read_patch_set(config.data)
    item = patch_set_item(patches, config.features)
    with encode_progress() as track:
        encode_items([item], config.encoder, device=device, overwrite=overwrite, track=track)
    write_labels(config.features, "key", patches.keys, patches.labels, patches.groups)
    log.info("features of %d patches in %s", len(patches), config.features)


def encode_bags(config: "MilConfig", *, device: str, overwrite: bool) -> None:
    """See ``bags.encode_bags``: by one worker, of slides that all have labels."""
    from hage_transfer.cli.encode.bags import encode_bags as encode

    encode(config, device=device, overwrite=overwrite)


def write_labels(
    folder: Path, key_column: str, keys: Iterable[str], labels: Iterable[str], groups: Iterable[str] | None
) -> None:
    """Writes ``labels.csv`` (key or slide, label, group)."""
    from hage_transfer.atomic import write_csv

    keys = list(keys)
    rows = zip(keys, labels, [""] * len(keys) if groups is None else groups, strict=True)
    write_csv(
        folder / LABELS_FILE,
        [key_column, "label", "group"],
        [{key_column: key, "label": label, "group": group} for key, label, group in rows],
    )


def refuse_manifest_at(target: Path, data: "Settings") -> None:
    """Refuses to write the table of labels in place of the manifest that it is made from.

    Raises:
        ConfigError: they are one file.
    """
    from hage_transfer.errors import ConfigError

    manifest = getattr(data, "manifest", None)
    if manifest is not None and target.exists() and target.samefile(manifest):
        raise ConfigError(f"data.manifest {manifest}: labels would be written in its place; move it, or set features")


@contextmanager
def encode_progress() -> Iterator["Track"]:
    """A bar on stderr for all items together; the description names the item at work."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def track(name: str, count: int) -> Any:
            task = progress.add_task(name, total=count)

            def advance(done: int) -> None:
                progress.advance(task, done)
                if task in progress.task_ids and progress.tasks[progress.task_ids.index(task)].finished:
                    progress.remove_task(task)  # a list may hold thousands of slides

            return advance

        yield track
