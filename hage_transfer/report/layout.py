"""What the page says, before it is laid out as markdown or html."""

from dataclasses import dataclass, field

from hage_transfer.report.plots import Plot
from hage_transfer.report.tables import Table
from hage_transfer.report.verdict import Difference


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        anchor: its name in links.
        text: paragraphs.
        tables: shown in order, after the text.
        plots: a grid of panels, after the tables.
    """

    title: str
    anchor: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True)
class Reproduction:
    """How one run was made."""

    name: str
    command: str
    commit: str
    packages: str
    results_sha256: str
    config: str


@dataclass(frozen=True)
class Page:
    """All that the page says, before it is laid out."""

    title: str
    question: str
    answers: tuple[Difference, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    reproduction: tuple[Reproduction, ...] = field(default=())
