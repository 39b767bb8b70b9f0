"""One page over runs."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hage_transfer.report.runs import PREDICT_FILE, check_run, is_unfinished

if TYPE_CHECKING:
    from hage_transfer.door.given import PathLike


@dataclass(frozen=True)
class ReportPage:
    """A report.

    Attributes:
        html: the page, whole in itself.
        markdown: the same as text.
        answer: what it says first.
    """

    html: Path
    markdown: Path
    answer: tuple[str, ...]

    def __fspath__(self) -> str:
        return str(self.html)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, and the way to the page."""
        said = "".join(f"<p>{html.escape(line)}</p>" for line in self.answer)
        return (
            f'{said}<p><a href="{html.escape(self.html.as_posix(), quote=True)}">{html.escape(str(self.html))}</a></p>'
        )


def report(
    runs: "PathLike | Sequence[PathLike]",
    *,
    out: "PathLike" = ".",
    pdf: bool = False,
    figures: "PathLike | None" = None,
) -> ReportPage:
    """Writes ``report.html`` (one file that needs no other) and ``report.md``: the answer, then what it rests on.

    Args:
        runs: runs of ``pretrain``, ``probe`` and ``mil``, and folders of ``predict``: paths or what they gave back.
        out: folder.
        pdf: write ``report.pdf`` too, one page, printed by a Chromium, Chrome or Edge of this machine.
        figures: folder to write every plot to as SVG, with its numbers as csv, and every table as csv.

    Raises:
        ConfigError: a pdf is asked for where no browser is found.
        DataError: no finished run is given, one is given twice, or one is not readable.
    """
    given = runs if isinstance(runs, Sequence) and not isinstance(runs, str) else [runs]
    paths, folder = [Path(run) for run in given], Path(out)
    for path in paths:
        if not is_unfinished(path) and not (path / PREDICT_FILE).is_file():
            check_run(path)
    from hage_transfer.report.page import write_report  # loads what draws; a wrong folder is refused before

    page = write_report(paths, folder, pdf=pdf, figures=None if figures is None else Path(figures))
    return ReportPage(
        folder / "report.html",
        folder / "report.md",
        (page.answer.sentence, *(one.sentence() for one in page.answer.parts)),
    )
