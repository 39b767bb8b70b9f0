"""Options that several commands share, with one help text each."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Config = Annotated[str, typer.Argument(help="A recipe's name (`hage recipes` lists them), or a YAML file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config (dotted; YAML value)."),
]
Encoder = Annotated[
    str | None,
    typer.Option(help="Frozen encoder in place of the config's: a name (`hage doctor` lists some), or an ONNX file."),
]
Out = Annotated[Path | None, typer.Option(help="Folder to write to.")]
Seed = Annotated[int | None, typer.Option(help="Override the config's seed.", min=0)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="This command's part of the work, beside others of a job array; for a run, the same command without "
        "--shard then gathers the results.",
    ),
]
Jobs = Annotated[int, typer.Option(help="Independent jobs at a time.", min=1)]
Engine = Annotated[
    Literal["processes", "ray"], typer.Option(help="Where jobs run: processes of this machine, or a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Ray: a cluster that is there already (or auto); else one is started here."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what an earlier run left and start anew.")]
Mpp = Annotated[float | None, typer.Option("--mpp", help="Level-0 um per px of slides that record none.", min=0)]
Null = Annotated[
    int | None,
    typer.Option(
        help="Also test so many copies of the frozen features that carry the same information: how often the verdict "
        "errs on this set, and the smallest difference that it can show. 20 is a good number.",
        min=0,
    ),
]

Controls = Annotated[
    bool | None,
    typer.Option(
        "--controls/--no-controls",
        help="Encoders that no gene taught, beside the gene-informed ones: a gain may be ascribed to genes only beside "
        "them. Neither: those that cost little.",
        show_default=False,
    ),
]


def with_mpp(overrides: Sequence[str] | None, mpp_um_per_px: float | None) -> list[str]:
    """Overrides of a recipe of slides, with that of ``--mpp``."""
    return [*(overrides or ()), *([] if mpp_um_per_px is None else [f"data.slide_mpp_um_per_px={mpp_um_per_px}"])]


def _of_every_run(
    config: Config,
    changes: Set = None,
    out: Out = None,
    seed: Seed = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
) -> None:
    pass


def run_command(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command CONFIG and the options that every run has.

    Args:
        function: is given those as one mapping, keywords of the door's function, and its own options by keyword.
    """
    shared = inspect.signature(_of_every_run).parameters
    own = [one for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        function({name: given.pop(name) for name in shared}, **given)

    named = {one.name: one.replace(kind=one.KEYWORD_ONLY) for one in [*shared.values(), *own]}
    command.__signature__ = inspect.Signature(list(named.values()))  # type: ignore[attr-defined]
    return command
