"""One page over runs."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.door.given import PathLike
from hage_transfer.report.page import write_report


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


def report(runs: PathLike | Sequence[PathLike], *, out: PathLike = ".") -> ReportPage:
    """Writes ``report.html`` (one file that needs no other) and ``report.md``: the answer, then what it rests on.

    Args:
        runs: runs of ``pretrain``, ``probe`` and ``mil``, and folders of ``predict``: paths or what they gave back.
        out: folder.

    Raises:
        DataError: no finished run is given, one is given twice, or one is not readable.
    """
    given = runs if isinstance(runs, Sequence) and not isinstance(runs, str) else [runs]
    folder = Path(out)
    page = write_report([Path(run) for run in given], folder)
    return ReportPage(
        folder / "report.html",
        folder / "report.md",
        (page.answer.sentence, *(one.sentence() for one in page.answer.parts)),
    )
