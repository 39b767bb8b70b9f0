"""`hage apply`: a trained classifier on new slides, images or patches."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import options, printed

_MOST = 20
_LOOKED = (
    "labels", "source", "out", "encoder_name", "encoder_sha256", "jobs", "engine", "address", "overwrite",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("apply")(apply)


def apply(
    classifier: Annotated[
        str, typer.Argument(help="Classifier directory, run of `hage mil|probe`, or hub repository.")
    ],
    given: Annotated[Path, typer.Argument(metavar="SLIDES|PATCHES|FEATURES", help="A folder of these, or one file.")],
    labels: Annotated[Path | None, typer.Option(help="Csv `slide[,label][,group][,mpp]` of the slides.")] = None,
    source: Annotated[str | None, typer.Option(help="Feature source of a run that has several.")] = None,
    out: options.Out = None,
    operating_point: Annotated[
        str, typer.Option(help="youden, sensitivity=0.9, specificity=0.9, cost=5 or threshold=0.3.")
    ] = "youden",
    abstain: Annotated[float | None, typer.Option(help="Share of slides like training's to leave to a person.")] = None,
    subgroups: Annotated[
        list[str] | None, typer.Option(help="Column of the labels to validate by; repeatable.")
    ] = None,
    against: Annotated[list[Path] | None, typer.Option(help="Another application to compare with; repeatable.")] = None,
    final: Annotated[bool, typer.Option("--final", help="By the models of all patients (train.final).")] = False,
    weights: Annotated[Path | None, typer.Option(help="Local file of the frozen encoder's weights.")] = None,
    slide_mpp: Annotated[float | None, typer.Option(help="Level-0 um per px of slides that record none.")] = None,
    encoder_name: Annotated[str | None, typer.Option(help="Of feature files that do not record it.")] = None,
    encoder_sha256: Annotated[str | None, typer.Option(help="Hash of its weights, likewise.")] = None,
    mpp: Annotated[float | None, typer.Option(help="Um per px of their tiles, likewise.")] = None,
    licence_allows: Annotated[
        bool, typer.Option("--licence-allows", help="You may use it though the licence forbids it or is not known.")
    ] = False,
    device: options.Device = "auto",
    jobs: options.Jobs = 1,
    engine: options.Engine = "processes",
    address: options.Address = None,
    shard: options.Shard = None,
    overwrite: options.Overwrite = False,
    look: Annotated[
        bool, typer.Option("--look", help="Score nothing: say which slides are unlike the training slides.")
    ] = False,
) -> None:
    """Score new slides, images or patches by a trained classifier: probability, call, doubt; see `scores.csv`."""
    own = ("classifier", "given", "slide_mpp", "mpp", "look")
    given_options: dict[str, Any] = {name: value for name, value in locals().items() if name not in (*own, "own")}
    given_options |= {"subgroups": subgroups or (), "against": against or ()}
    console, show = printed.console(), show_health if look else show_scores
    if look:
        given_options = {name: value for name, value in given_options.items() if name in _LOOKED}
    work: Any = ht.look if look else ht.apply
    try:
        found = work(classifier, given, slide_mpp_um_per_px=slide_mpp, mpp_um_per_px=mpp, **given_options)
    except ht.ItemsFailedError as error:
        show(error.done, console)
        raise
    show(found, console)


def show_health(health: Any, console: Console) -> None:
    """Prints what differs from the training cohort, and where all of it is."""
    if health is None:
        return
    lines = [health.caption(), *(f"- {one}" for one in (*health.findings, *health.not_known))]
    for line in [*lines, f"page: {health.folder / 'health.html'}"]:
        console.print(line, highlight=False)


def show_scores(scores: Any, console: Console) -> None:
    """Prints what was called, the first rows, and where all of them are."""
    if scores is None:
        return
    frame = scores.frame()
    names = [name for name in scores.shown if name != "doubtful"]
    table = printed.table(frame.columns[0], *names)
    for row in frame.head(_MOST).to_dict("records"):
        cells = [row[name] for name in names]
        table.add_row(row[frame.columns[0]], *(f"{one:.3f}" if isinstance(one, float) else str(one) for one in cells))
    console.print(table)
    left = f" ({len(frame) - _MOST} more rows)" if len(frame) > _MOST else ""
    console.print(f"{scores.caption()}{left}", highlight=False)
    found = ht.read_results(scores)
    if found is not scores and getattr(found, "scores", None) is not None:
        shown = printed.table("on new patients", "value", "95% by patient")
        for one in found.meta["intervals"]:
            ends = "" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"
            shown.add_row(one["metric"], "" if one["value"] is None else f"{one['value']:.3f}", ends)
        console.print(shown)
        console.print(f"page: {found.folder / 'report.html'}", highlight=False)
