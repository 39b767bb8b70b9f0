"""`hage labels`: label tables from published ones, and a look at labels and split files before anything is trained."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from hage_transfer.cli.classify import STYLE
from hage_transfer.errors import some

if TYPE_CHECKING:
    from hage_transfer.compare.split_files import SplitFile, SplitSurvey
    from hage_transfer.data.labels import LabelTable

_NAMED = 5


def register(app: typer.Typer) -> None:
    """Adds the commands to `hage`."""
    labels = typer.Typer(
        help="Label tables: make one from a published csv; check it and split files.", no_args_is_help=True
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
    from hage_transfer.data.published_labels import NO_LABEL, Columns, write_label_table

    counts = write_label_table(table, out, Columns(slide, label, group, site), keep=keep or (), drop_empty=drop_empty)
    kept = {name: n for name, n in counts.items() if name in keep} if keep else dict(counts)
    kept.pop(NO_LABEL, None)
    left = {name: count for name, count in counts.items() if name not in kept}
    console = Console()
    console.print(f"{out}: {sum(kept.values())} slides ({_counts(kept)})", markup=False, soft_wrap=True)
    if left:
        console.print(f"left out: {sum(left.values())} slides ({_counts(left)})", markup=False, soft_wrap=True)


def check(
    table: Annotated[Path, typer.Argument(metavar="LABELS", help="Label table of slides.")],
    splits: Annotated[
        Path | None, typer.Option("--splits", help="Folder of splits_<i>.csv in CLAM's form.", file_okay=False)
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="All names, not the first few.")] = False,
) -> None:
    """Count slides, classes, patients and sites; find unknown slides, and patients on two sides of a split."""
    from hage_transfer.compare.split_files import read_split_files, survey_split
    from hage_transfer.data.labels import read_labels

    labels = read_labels(table)
    console = Console()
    _show_labels(labels, console)
    if splits is None:
        return
    found = [(file, survey_split(file, labels)) for file in read_split_files(splits)]
    _show_splits(found, console)
    for file, survey in found:
        _show_names(file, survey, console, most=sys.maxsize if names else _NAMED)
    _show_overlap([file for file, _ in found], console)


def _show_labels(labels: "LabelTable", console: Console) -> None:
    console.print(f"{len(labels)} slides ({_counts(Counter(labels.labels.tolist()))})", markup=False, soft_wrap=True)
    for what, values in (("groups (patients)", labels.groups), ("sites", labels.sites)):
        if values is None:
            console.print(f"no {what}", markup=False)
            continue
        sizes = Counter(values.tolist())
        mixed = [name for name in sizes if len(set(labels.labels[values == name].tolist())) > 1]
        console.print(
            f"{len(sizes)} {what}, the largest of {max(sizes.values())} slides, {len(mixed)} with more than one class",
            markup=False,
            soft_wrap=True,
        )


def _show_splits(found: "Sequence[tuple[SplitFile, SplitSurvey]]", console: Console) -> None:
    heads = (
        "split",
        "train",
        "val",
        "test",
        "unknown slides",
        "slides on two sides",
        "patients on two sides",
        "unused",
    )
    table = Table(*heads, **STYLE)
    for file, survey in found:
        sides = [_counts(counts) for counts in survey.counts.values()]
        totals = (
            sum(map(len, survey.unknown.values())),
            _distinct(survey.shared_slides),
            _distinct(survey.shared_groups),
        )
        table.add_row(file.name, *sides, *map(str, totals), str(len(survey.unused)))
    console.print(table)


def _show_names(file: "SplitFile", survey: "SplitSurvey", console: Console, *, most: int) -> None:
    for what, shared in (("slides", survey.shared_slides), ("patients", survey.shared_groups)):
        for (one, other), names in shared.items():
            text = f"splits_{file.name}.csv: {len(names)} {what} in both {one} and {other}: {some(names, most)}"
            console.print(text, markup=False, soft_wrap=True)
    unknown = [name for slides in survey.unknown.values() for name in slides]
    if unknown:
        text = f"splits_{file.name}.csv: {len(unknown)} slides without a label: {some(unknown, most)}"
        console.print(text, markup=False, soft_wrap=True)


def _show_overlap(files: "Sequence[SplitFile]", console: Console) -> None:
    tests = Counter(slide for file in files for slide in file.sides["test"])
    again = sum(count > 1 for count in tests.values())
    if again:
        console.print(
            f"test sides overlap: {again} of {len(tests)} tested slides are tested more than once", markup=False
        )


def _distinct(shared: Mapping[tuple[str, str], Sequence[str]]) -> int:
    return len({name for names in shared.values() for name in names})


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
