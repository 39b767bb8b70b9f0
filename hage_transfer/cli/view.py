"""`hage view`: a local page that shows the slides of a run."""

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[
    Path, typer.Argument(help="Run of `hage mil`, or a folder of `hage heatmap`, `encode slides`, `tissue`, `predict`.")
]
Slides = Annotated[Path | None, typer.Option(help="Folder of the slides, where they are not where the run found them.")]
Port = Annotated[int, typer.Option(help="Port of this machine; 0 takes a free one.", min=0, max=65535)]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address, open no browser.")]


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("view")(view)


def view(run: Run, slides: Slides = None, port: Port = 8765, no_browser: NoBrowser = False) -> None:
    """Show the slides of a run: pan, zoom, attention, tissue and any gene's predicted expression over them.

    The page is served to this machine alone (127.0.0.1) and loads nothing from elsewhere. Ctrl-C ends it.
    """
    from functools import partial

    from rich.console import Console

    from hage_transfer.viewer.app import make_app
    from hage_transfer.viewer.opened_run import OpenedRun
    from hage_transfer.viewer.run_kinds import read_contents
    from hage_transfer.viewer.server import listening, open_browser, serve

    console = Console()
    opened = OpenedRun(partial(read_contents, run, slides=slides))
    contents = opened.contents
    missing = sum(slide.path is None for slide in contents.slides.values())
    if missing:
        console.print(
            f"{missing} of {len(contents.slides)} slides were not found; say where they are with --slides FOLDER",
            markup=False,
        )
    try:
        with listening(port) as (sock, address):
            app = make_app(opened)
            console.print(f"{len(contents.slides)} slides at {address} (Ctrl-C ends)", markup=False, soft_wrap=True)
            if not no_browser:
                open_browser(address)
            serve(app, sock)
    except KeyboardInterrupt:
        console.print("ended", markup=False)
    finally:
        opened.close()
