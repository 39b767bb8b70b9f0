"""`view`: a local page that shows the slides of a run."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from hage_transfer.apply.scores import as_run
from hage_transfer.door.given import PathLike
from hage_transfer.viewer.app import make_app
from hage_transfer.viewer.layer import sets_of_file
from hage_transfer.viewer.opened_run import OpenedRun
from hage_transfer.viewer.run_kinds import read_contents
from hage_transfer.viewer.server import BackgroundServer, listening, open_browser


class Viewer:
    """A page of this machine alone (127.0.0.1) that shows the slides of a run, until it is closed.

    Attributes:
        address: of the page.
        n_slides: that it shows.
        n_missing: those among them whose files were not found.
    """

    def __init__(self, run: Path, *, slides: Path | None, gene_sets: Path | None, port: int) -> None:
        with ExitStack() as stack:
            opened = OpenedRun(
                partial(read_contents, run, slides=slides),
                gene_sets=None if gene_sets is None else sets_of_file(gene_sets),
            )
            stack.callback(opened.close)
            sock, self.address = stack.enter_context(listening(port))
            self._server = BackgroundServer(make_app(opened), sock)
            stack.callback(self._server.stop)
            self._open = stack.pop_all()
        listed = opened.contents.slides.values()
        self.n_slides, self.n_missing = len(listed), sum(slide.path is None for slide in listed)

    def wait(self) -> None:
        """Answers until Ctrl-C.

        Raises:
            KeyboardInterrupt: it came.
        """
        self._server.wait()

    def close(self) -> None:
        """Ends the page."""
        self._open.close()

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Viewer of {self.n_slides} slides at {self.address}>"

    def _repr_html_(self) -> str:
        return f'<iframe src="{self.address}" width="100%" height="600" style="border: 0"></iframe>'


def view(
    run: PathLike,
    *,
    slides: PathLike | None = None,
    gene_sets: PathLike | None = None,
    port: int = 0,
    browser: bool = False,
) -> Viewer:
    """Shows the slides of a run: pan, zoom, attention, tissue and any gene's predicted expression over them.

    In a notebook the page is part of the cell; elsewhere open its ``address``. It loads nothing from elsewhere and
    lives until ``close`` or the end of the process.

    Args:
        run: run of `mil`, an application of its classifier, or folder of `explain`, `encode_slides`, `tissue` or
            `predict`.
        slides: folder of the slides, where they are not where the run found them.
        gene_sets: file of gene sets (GMT, GAF, a gene by set table), each a layer: the mean of its genes' predicted
            expression.
        port: of this machine; 0 takes a free one.
        browser: open the page in a browser, where there is a screen.

    Raises:
        DataError: no run with slides, a folder that is not there, or no file of gene sets.
        ConfigError: the port is taken.
    """
    place, there = as_run(Path(run))
    viewer = Viewer(
        place,
        slides=there if slides is None else Path(slides),
        gene_sets=None if gene_sets is None else Path(gene_sets),
        port=port,
    )
    if browser:
        open_browser(viewer.address)
    return viewer
