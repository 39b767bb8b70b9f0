"""`hage view`: a local page that shows the slides of a run."""

from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import printed

Run = Annotated[
    Path,
    typer.Argument(
        help="Run of `hage mil`, or a folder of `hage heatmap`, `encode slides`, `tissue`, `predict`, `apply`."
    ),
]
Slides = Annotated[Path | None, typer.Option(help="Folder of the slides, where they are not where the run found them.")]
GeneSets = Annotated[
    Path | None, typer.Option(help="File of pathways or programmes (GMT, GAF, gene by set table) to show as layers.")
]
Port = Annotated[int, typer.Option(help="Port of this machine; 0 takes a free one.", min=0, max=65535)]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address, open no browser.")]


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("view")(view)


def view(
    run: Run, slides: Slides = None, gene_sets: GeneSets = None, port: Port = 8765, no_browser: NoBrowser = False
) -> None:
    """Show the slides of a run: pan, zoom, attention, tissue and any gene's predicted expression over them.

    The page is served to this machine alone (127.0.0.1) and loads nothing from elsewhere. Ctrl-C ends it.
    """
    console = printed.console()
    try:
        with ht.view(run, slides=slides, gene_sets=gene_sets, port=port, browser=not no_browser) as viewer:
            if viewer.n_missing:
                console.print(
                    f"{viewer.n_missing} of {viewer.n_slides} slides were not found; say where they are with --slides "
                    "FOLDER",
                )
            console.print(f"{viewer.n_slides} slides at {viewer.address} (Ctrl-C ends)")
            viewer.wait()
    except KeyboardInterrupt:
        console.print("ended")
