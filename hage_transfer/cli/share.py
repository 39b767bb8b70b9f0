"""`hage share`: an encoder or classifier directory to the hub."""

from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import printed


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("share")(share)


def share(
    encoder: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Encoder directory, or a run's classifier/<source>.")
    ],
    to: Annotated[str, typer.Option(metavar="ORG/NAME", help="Repository on the hub; made where it is not there.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it; else your organisation alone.")
    ] = False,
    licence_allows: Annotated[
        bool,
        typer.Option(
            "--licence-allows",
            help="You may share it though the frozen encoder's licence forbids derivatives or is not known.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be uploaded; ask no network.")] = False,
) -> None:
    """Upload an encoder or classifier directory, with its card, to the Hugging Face hub; private by default.

    The token is the one of `hf auth login`, or HF_TOKEN.
    """
    console = printed.console()
    shared = ht.share(encoder, to=to, public=public, licence_allows=licence_allows, dry_run=dry_run)
    console.print(str(shared), highlight=False)
    if shared.address is not None:
        console.print(f'open_encoder("{to}") loads it', highlight=False)
