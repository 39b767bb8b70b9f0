"""Options that several commands share, with one help text each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

Config = Annotated[Path, typer.Argument(help="YAML recipe; configs/ holds one for each task.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config (dotted; YAML value)."),
]
Out = Annotated[Path | None, typer.Option(help="Folder to write to.")]
Seed = Annotated[int | None, typer.Option(help="Override the config's seed.", min=0)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")]
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


def with_mpp(overrides: Sequence[str] | None, mpp_um_per_px: float | None) -> list[str]:
    """Overrides of a recipe of slides, with that of ``--mpp``."""
    return [*(overrides or ()), *([] if mpp_um_per_px is None else [f"data.slide_mpp_um_per_px={mpp_um_per_px}"])]
