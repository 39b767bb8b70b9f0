"""`hage patches check|manifest`: look at a labelled patch set before work starts; manifests from published tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hage_transfer.cli import options

if TYPE_CHECKING:
    from hage_transfer.data.image_hashes import PixelCheck
    from hage_transfer.data.labels import LabelTable
    from hage_transfer.data.patch_set import PatchSet
    from hage_transfer.probes.config import ProbeConfig

DUPLICATES_FILE = "duplicates.csv"

patches_app = typer.Typer(
    name="patches", help="Labelled patch sets: check one, or make a manifest of one.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.add_typer(patches_app)


@patches_app.command("check")
def check_command(
    config: options.Config,
    set_: options.Set = None,
    out: options.Out = None,
    jobs: options.Jobs = 1,
    pixels: Annotated[bool, typer.Option("--pixels/--no-pixels", help="Read every pixel, to find duplicates.")] = True,
) -> None:
    """Count classes and groups, try the folds, and find identical and unreadable images (config of `hage probe`).

    Exit code 0: nothing is wrong; 1: images that cannot be read, or identical images in two groups or under two
    labels, listed in failures.csv and duplicates.csv; 2: the set or its folds cannot be used as they are.
    """
    from hage_transfer.door.recipes import recipe_stem, resolve_config
    from hage_transfer.probes.config import ProbeConfig

    folder = out or Path("runs") / f"check-{recipe_stem(config, 'run')}"
    check_patches(resolve_config(ProbeConfig, config, set_ or ()), out=folder, n_threads=jobs, pixels=pixels)


@patches_app.command("manifest")
def manifest_command(
    table: Annotated[Path, typer.Argument(help="Published csv, a row an image.")],
    out: Annotated[Path, typer.Option(help="Manifest to write: path,label,group,part.")],
    path_column: Annotated[str, typer.Option(help="Image, relative to data.root.")] = "file",
    label_column: Annotated[str, typer.Option(help="Class.")] = "class",
    group_column: Annotated[str, typer.Option(help="Patient or slide; empty: none.")] = "case",
    part_column: Annotated[str, typer.Option(help="Published train, validation, test; empty: none.")] = "set",
) -> None:
    """Turn a published table into a manifest; the columns of SkinCancer's tiles-v2.csv (heiDATA 7QCR8S) by default."""
    from hage_transfer.data.published_table import write_manifest

    columns = {"path": path_column, "label": label_column, "group": group_column, "part": part_column}
    count = write_manifest(table, out, {name: column for name, column in columns.items() if column})
    Console().print(f"{out}: {count} images", markup=False, soft_wrap=True)


def check_patches(config: "ProbeConfig", *, out: Path, n_threads: int = 1, pixels: bool = True) -> None:
    """Prints what a patch set holds and writes ``failures.csv``, ``duplicates.csv`` where there is something to list.

    Raises:
        InputError: the set, its labels or its folds are wrong.
        ItemsFailedError: unreadable images, or identical ones on what may become two sides of a split.
    """
    from hage_transfer.data.image_hashes import check_pixels
    from hage_transfer.data.labels import LabelTable, map_labels
    from hage_transfer.data.patches import read_patch_set
    from hage_transfer.probes.folds import probe_folds

    patches = read_patch_set(config.data)
    labels = map_labels(LabelTable(patches.keys, patches.labels, patches.groups), config.label_map)
    console = Console()
    _show_counts(labels, console)
    folds = probe_folds(config.split, labels)  # before the pixels, whose findings a refusal would lose
    test_sizes = ", ".join(str(len(fold.test)) for fold in folds)
    console.print(f"folds ({config.split.mode}): test rows {test_sizes}", markup=False, soft_wrap=True)
    if pixels:
        with _bar(len(patches)) as advance:
            checked = check_pixels(patches, n_threads=n_threads, progress=advance)
        _report(checked, patches, out=out, console=console)


def _show_counts(labels: "LabelTable", console: Console) -> None:
    import numpy as np

    groups = labels.groups
    table = Table("class", "patches", "share", "groups", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in labels.classes:
        own = labels.labels == name
        held = "" if groups is None else str(len(set(groups[own].tolist())))
        table.add_row(name, str(int(own.sum())), f"{own.mean():.1%}", held)
    console.print(table)
    if groups is None:
        console.print(f"{len(labels)} patches, no groups: rows would be split one by one", soft_wrap=True)
        return
    names, counts = np.unique(groups, return_counts=True)
    console.print(
        f"{len(labels)} patches in {len(names)} groups of {counts.min()} to {counts.max()} (median "
        f"{int(np.median(counts))}); largest {names[counts.argmax()]}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _report(checked: "PixelCheck", patches: "PatchSet", *, out: Path, console: Console) -> None:
    from hage_transfer.errors import ItemsFailedError
    from hage_transfer.running.atomic import write_csv
    from hage_transfer.running.run_directory import FAILURES_FILE

    rows = _duplicate_rows(checked, patches)
    across = sum(one.across_groups for one in checked.duplicates)
    mixed = sum(one.across_labels for one in checked.duplicates)
    unit = "groups" if patches.groups is not None else "images"
    console.print(
        f"{len(checked.duplicates)} sets of identical patches, {across} of them across {unit}, {mixed} with more than "
        f"one label; {len(checked.constant)} patches of one colour; {len(checked.unreadable)} images unreadable",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if rows:
        write_csv(out / DUPLICATES_FILE, list(rows[0]), rows)
    else:
        (out / DUPLICATES_FILE).unlink(missing_ok=True)
    if checked.unreadable:
        failures = [{"item": item, "reason": why} for item, why in checked.unreadable.items()]
        write_csv(out / FAILURES_FILE, ["item", "reason"], failures)
    else:
        (out / FAILURES_FILE).unlink(missing_ok=True)
    faults = [f"{len(checked.unreadable)} images cannot be read ({out / FAILURES_FILE})"] if checked.unreadable else []
    if across or mixed:
        first = next(one for one in checked.duplicates if one.across_groups or one.across_labels)
        names = ", ".join(_named(patches, row) for row in first.rows[:3])
        faults.append(
            f"identical patches, such as {names}, would be on both sides of a split ({out / DUPLICATES_FILE})"
        )
    if faults:
        raise ItemsFailedError("; ".join(faults))


def _duplicate_rows(checked: "PixelCheck", patches: "PatchSet") -> list[dict[str, Any]]:
    return [
        {
            "set": number,
            "key": patches.keys[row],
            "label": patches.labels[row],
            "group": "" if patches.groups is None else patches.groups[row],
            "across_groups": one.across_groups,
            "across_labels": one.across_labels,
        }
        for number, one in enumerate(checked.duplicates)
        for row in one.rows
    ]


def _named(patches: "PatchSet", row: int) -> str:
    group = "" if patches.groups is None else f" of group {patches.groups[row]}"
    return f"{patches.keys[row]}{group} ({patches.labels[row]})"


def _bar(total: int) -> Any:
    from contextlib import contextmanager

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    @contextmanager
    def shown() -> Any:
        console = Console(stderr=True)
        columns = TextColumn("pixels"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("pixels", total=total)
            yield lambda count: bar.advance(task, count)

    return shown()
