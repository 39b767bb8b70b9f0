"""`hage labels`: label tables from published ones, and a look at labels and split files before anything is trained."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import printed
from hage_transfer.cli.groups import Group
from hage_transfer.errors import some

if TYPE_CHECKING:
    from hage_transfer.compare.split_files import SplitFile, SplitSurvey
    from hage_transfer.door.check_labels import LabelCheck

_NAMED = 5


def register(app: typer.Typer) -> None:
    """Adds the commands to `hage`."""
    labels = typer.Typer(
        cls=Group, help="Label tables: make one from a published csv; check it and split files.", no_args_is_help=True
    )
    labels.command("make")(make)
    labels.command("check")(check)
    app.add_typer(labels, name="labels")


def make(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Published csv, or a zip of one.")],
    out: Annotated[Path, typer.Option("--out", help="Label table to write: slide,label[,group][,site].")],
    slide: Annotated[str, typer.Option("--slide", help="Column of the slide.")] = "slide_id",
    label: Annotated[str, typer.Option("--label", help="Column of the class.")] = "label",
    group: Annotated[str | None, typer.Option("--group", help="Column of the patient.")] = None,
    site: Annotated[
        str | None, typer.Option("--site", help="Column of the site; tcga: the second field of the slide's barcode.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Class to keep; may be repeated. Without: all.")
    ] = None,
    drop_empty: Annotated[
        bool, typer.Option("--drop-empty", help="Leave out rows without a class (empty, nan, NA), as --keep does.")
    ] = False,
) -> None:
    """Write a label table from a published one.

    TCGA-BRCA as CLAM has it: hage labels make tcga_brca_subset.csv.zip --out labels.csv --label oncotree_code
    --group case_id --site tcga --keep IDC --keep ILC
    """
    made = ht.make_labels(
        table, out=out, slide=slide, label=label, group=group, site=site, keep=keep or (), drop_empty=drop_empty
    )
    console = printed.console()
    console.print(f"{out}: {sum(made.kept.values())} slides ({_counts(made.kept)})")
    if made.left_out:
        text = f"left out: {sum(made.left_out.values())} slides ({_counts(made.left_out)})"
        console.print(text)


def check(
    table: Annotated[Path, typer.Argument(metavar="LABELS", help="Label table of slides.")],
    splits: Annotated[
        Path | None, typer.Option("--splits", help="Folder of splits_<i>.csv in CLAM's form.", file_okay=False)
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="All names, not the first few.")] = False,
) -> None:
    """Count slides, classes, patients and sites; find unknown slides, and patients on two sides of a split."""
    found, console = ht.check_labels(table, splits=splits), printed.console()
    _show_labels(found, console)
    if splits is None:
        return
    _show_splits(found, console)
    for file, survey in found.splits:
        _show_names(file, survey, console, most=sys.maxsize if names else _NAMED)
    again = sum(times > 1 for times in found.tests.values())
    if again:
        console.print(f"test sides overlap: {again} of {len(found.tests)} tested slides are tested more than once")


def _show_labels(found: "LabelCheck", console: Console) -> None:
    labels, groups = found.labels, found.groups()
    console.print(f"{len(labels)} slides ({_counts(Counter(labels.labels.tolist()))})")
    for what in ("groups (patients)", "sites"):
        if what not in groups.index:
            console.print(f"no {what}")
            continue
        number, largest, mixed = groups.loc[what]
        text = f"{number} {what}, the largest of {largest} slides, {mixed} with more than one class"
        console.print(text)


def _show_splits(found: "LabelCheck", console: Console) -> None:
    rows = found.table()
    table = printed.table(*rows.columns)
    for row in rows.itertuples(index=False):
        table.add_row(*(_counts(cell) if isinstance(cell, dict) else str(cell) for cell in row))
    console.print(table)


def _show_names(file: "SplitFile", survey: "SplitSurvey", console: Console, *, most: int) -> None:
    for what, shared in (("slides", survey.shared_slides), ("patients", survey.shared_groups)):
        for (one, other), names in shared.items():
            text = f"splits_{file.name}.csv: {len(names)} {what} in both {one} and {other}: {some(names, most)}"
            console.print(text)
    unknown = [name for slides in survey.unknown.values() for name in slides]
    if unknown:
        text = f"splits_{file.name}.csv: {len(unknown)} slides without a label: {some(unknown, most)}"
        console.print(text)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
