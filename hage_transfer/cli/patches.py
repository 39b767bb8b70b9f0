"""`hage patches check|manifest`: look at a labelled patch set before work starts; manifests from published tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import options, printed
from hage_transfer.cli.groups import Group

if TYPE_CHECKING:
    from hage_transfer.probes.patch_check import PatchCheck

patches_app = typer.Typer(
    name="patches", cls=Group, help="Labelled patch sets: check one, or make a manifest of one.", no_args_is_help=True
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
    folder = out or Path("runs") / f"check-{Path(config).stem}"
    try:
        found = ht.check_patches(config, out=folder, changes=set_ or (), pixels=pixels, jobs=jobs)
    except ht.ItemsFailedError as error:
        _show(error.done, printed.console())
        raise
    _show(found, printed.console())


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
    count = ht.make_manifest(
        table,
        out=out,
        path_column=path_column,
        label_column=label_column,
        group_column=group_column,
        part_column=part_column,
    )
    printed.console().print(f"{out}: {count} images")


def _show(found: "PatchCheck", console: Console) -> None:
    table = printed.table("class", "patches", "share", "groups")
    grouped = found.labels.groups is not None
    for name, row in found.table().iterrows():
        table.add_row(
            str(name), f"{row['patches']:.0f}", f"{row['share']:.1%}", f"{row['groups']:.0f}" if grouped else ""
        )
    console.print(table)
    sizes = found.group_sizes()
    text = f"{len(found.labels)} patches"
    if sizes is None:
        text += ", no groups: rows would be split one by one"
    else:
        text += f" in {len(sizes)} groups of {sizes.min()} to {sizes.max()} (median {sizes.median():.0f})"
        text += f"; largest {sizes.index[0]}"
    _print(text, console)
    _print(f"folds ({found.split}): test rows {', '.join(map(str, found.test_sizes))}", console)
    if found.pixels is not None:
        sets = found.pixels.duplicates
        _print(
            f"{len(sets)} sets of identical patches, {sum(one.across_groups for one in sets)} of them across "
            f"{'groups' if grouped else 'images'}, {sum(one.across_labels for one in sets)} with more than one label; "
            f"{len(found.pixels.constant)} patches of one colour; {len(found.pixels.unreadable)} images unreadable",
            console,
        )


def _print(text: str, console: Console) -> None:
    console.print(text, highlight=False)
