"""What the page says, before it is laid out as markdown or html."""

from dataclasses import KW_ONLY, dataclass, field

from hage_transfer.report.answer import Answer
from hage_transfer.report.cells import Table
from hage_transfer.report.pictures import Picture
from hage_transfer.report.plots import Plot

_LEADING = ("AUC", "Gain in AUC", "Genes from the image")


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        anchor: its name in links.
        text: paragraphs.
        tables: in order.
        plots: a grid of panels, between the text and the tables.
        pictures: maps, after the tables.
        maps_first: whether they come before the tables.
    """

    title: str
    anchor: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    _: KW_ONLY
    pictures: tuple[Picture, ...] = ()
    maps_first: bool = False


@dataclass(frozen=True)
class Reproduction:
    """How one run was made.

    Attributes:
        name: of the run.
        facts: label and text, in order.
        config: its text.
        hashes: what went in and what came out, label and sha256.
    """

    name: str
    command: str
    facts: tuple[tuple[str, str], ...]
    hashes: tuple[tuple[str, str], ...]
    config: str


@dataclass(frozen=True)
class Page:
    """All that the page says, before it is laid out."""

    title: str
    question: str
    answer: Answer
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    reproduction: tuple[Reproduction, ...] = field(default=())

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Those for one sheet: AUC and its gains, else the first of each section."""
        found = [plot for section in self.sections for plot in section.plots]
        return tuple([one for one in found if one.title.startswith(_LEADING)][:3] or found[:2])

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those for one sheet: the first of the first sections that have any."""
        firsts = [section.tables[0] for section in self.sections if section.tables]
        return tuple(one for place, one in enumerate(firsts) if place == 0 or one.title.startswith("Methods"))[:2]
