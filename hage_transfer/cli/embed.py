"""`hage embed`: feature files through a gene-informed encoder."""

from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import options, printed


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("embed")(embed)


def embed(
    features: Annotated[Path, typer.Argument(help="A feature file, or a folder of them.")],
    encoder: Annotated[Path, typer.Option(help="Encoder directory that `hage pretrain` made.")],
    out: Annotated[Path, typer.Option(help="Embedding file, or the folder for them.")],
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Embed frozen features with a gene-informed encoder; files of that encoder that are there are kept."""
    found = ht.embed(features, encoder=encoder, out=out, device=device, overwrite=overwrite)
    printed.console().print(f"{out}: {len(found)} embedding file{'s' * (len(found) != 1)}")
