"""`hage encode st|patches|slides`: frozen features of ST sections, labelled patches, slides and images as bags."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hage_transfer.cli import options

if TYPE_CHECKING:
    from hage_transfer.encoders.items import Track
    from mil.config import MilConfig
    from pretrain.config import PretrainConfig
    from probes.config import ProbeConfig

log = logging.getLogger(__name__)

LABELS_FILE = "labels.csv"

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
    overwrite: options.Overwrite = False,
) -> None:
    """Features of slides, or of images as bags: features/<slide>.h5 and labels.csv (config of `hage mil`)."""
    from hage_transfer.config import load_config
    from mil.config import MilConfig

    encode_bags(load_config(MilConfig, config, overrides or ()), device=device, overwrite=overwrite)


def encode_sections(config: "PretrainConfig", *, device: str, overwrite: bool) -> None:
    """Writes ``<config.features>/<section>.h5`` of every section that has an image.

    Raises:
        InputError: a section, its image, the encoder or a feature file that is there already is not right.
    """
    from hage_transfer.atomic import remove_partial
    from hage_transfer.cli.encode_sources import section_items
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
    remove_partial(config.features)
    with _progress() as track:
        encode_items(items, config.encoder, device=device, overwrite=overwrite, track=track)
    log.info("features of %d sections in %s", len(items), config.features)


def encode_patches(config: "ProbeConfig", *, device: str, overwrite: bool) -> None:
    """Writes ``features.h5`` and ``labels.csv`` (key, label, group) to ``config.features``.

    Raises:
        InputError: the patch set, the encoder or a feature file that is there already is not right.
    """
    from hage_transfer.atomic import remove_partial
    from hage_transfer.cli.encode_sources import patch_set_item
    from hage_transfer.data.patches import read_patch_set
    from hage_transfer.encoders.items import encode_items
    from hage_transfer.encoders.registry import find_weights

    find_weights(config.encoder)
    patches = read_patch_set(config.data)
    remove_partial(config.features)
    item = patch_set_item(patches, config.features)
    with _progress() as track:
        encode_items([item], config.encoder, device=device, overwrite=overwrite, track=track)
    _write_labels(config.features, "key", patches.keys, patches.labels, patches.groups)
    log.info("features of %d patches in %s", len(patches), config.features)


def encode_bags(config: "MilConfig", *, device: str, overwrite: bool) -> None:
    """Writes ``features/<slide>.h5`` and ``labels.csv`` (slide, label, group) to ``config.features``.

    Raises:
        ConfigError: the bags are feature files already, or single patches.
        InputError: the label table, the encoder or a feature file that is there already is not right.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, the rest are done.
    """
    from hage_transfer.config import PatchSetSettings, SlideSetSettings
    from hage_transfer.errors import ConfigError

    if isinstance(config.data, SlideSetSettings):
        _encode_slides(config, config.data, device=device, overwrite=overwrite)
    elif isinstance(config.data, PatchSetSettings):
        if config.data.layout == "pcam":
            raise ConfigError("data.layout pcam: single patches make no bags; use `hage probe`")
        _encode_images(config, config.data, device=device, overwrite=overwrite)
    else:
        raise ConfigError("data.layout features: these bags are encoded already; run `hage mil`")


def _encode_slides(config: "MilConfig", settings: Any, *, device: str, overwrite: bool) -> None:
    from hage_transfer.cli.encode_sources import slide_items
    from hage_transfer.data.labels import read_labels

    table = read_labels(settings.labels)
    items = slide_items(table.keys.tolist(), settings, config.features)
    _encode_bag_items(config, items, table.labels, table.groups, device=device, overwrite=overwrite)


def _encode_images(config: "MilConfig", settings: Any, *, device: str, overwrite: bool) -> None:
    from hage_transfer.cli.encode_sources import image_bag_items
    from hage_transfer.data.patches import read_patch_set

    patches = read_patch_set(settings)
    items = image_bag_items(patches, config.features)
    first = [source.rows.start for source in patches.sources]
    groups = None if patches.groups is None else patches.groups[first]
    _encode_bag_items(config, items, patches.labels[first], groups, device=device, overwrite=overwrite)


def _encode_bag_items(
    config: "MilConfig", items: list[Any], labels: Iterable[str], groups: Iterable[str] | None, **how: Any
) -> None:
    from hage_transfer.atomic import remove_partial, write_csv
    from hage_transfer.encoders.items import encode_items
    from hage_transfer.errors import ItemsFailedError
    from hage_transfer.run_directory import FAILURES_FILE

    folder = config.features
    for leftovers in (folder, folder / "features"):
        remove_partial(leftovers)
    with _progress() as track:
        failures = encode_items(items, config.encoder, track=track, keep_going=True, **how)
    _write_labels(folder, "slide", [item.name for item in items], labels, groups)
    if failures:
        path = folder / FAILURES_FILE
        write_csv(path, ["item", "reason"], [{"item": item, "reason": why} for item, why in failures.items()])
        raise ItemsFailedError(f"{len(failures)} of {len(items)} slides failed, see {path}; the rest are done")
    (folder / FAILURES_FILE).unlink(missing_ok=True)
    log.info("features of %d slides in %s", len(items), folder)


def _write_labels(
    folder: Path, key_column: str, keys: Iterable[str], labels: Iterable[str], groups: Iterable[str] | None
) -> None:
    from hage_transfer.atomic import write_csv

    keys = list(keys)
    rows = zip(keys, labels, [""] * len(keys) if groups is None else groups, strict=True)
    write_csv(
        folder / LABELS_FILE,
        [key_column, "label", "group"],
        [{key_column: key, "label": label, "group": group} for key, label, group in rows],
    )


@contextmanager
def _progress() -> Iterator["Track"]:
    """A bar on stderr for all items together; the description names the item at work."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def track(name: str, count: int) -> Any:
            task = progress.add_task(name, total=count)
            return lambda done: progress.advance(task, done)

        yield track
