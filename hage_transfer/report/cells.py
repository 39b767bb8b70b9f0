"""Cells of the report's tables: texts, and numbers that remember their full value."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from statistics import mean

from hage_transfer.compare.records import mean_and_std

MISSING = "–"


class Number(str):
    """A number as it is shown; tables sort by its ``value`` and show it in full on hover."""

    value: float

    def __new__(cls, text: str, value: float) -> "Number":
        """Args: ``text`` as shown; ``value`` in full."""
        cell = super().__new__(cls, text)
        cell.value = value
        return cell


@dataclass(frozen=True)
class Table:
    """A table of cells; the first column names the row.

    Attributes:
        caption: what it shows.
        header: names of the columns.
        rows: cells.
        strong: indices of the rows that the question is about.
        text_columns: how many of the first columns hold words.
        title: its heading, where a section has several tables.
        folded: whether it is shown only once opened.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    _: KW_ONLY
    strong: frozenset[int] = frozenset()
    text_columns: int = 1
    title: str = ""
    folded: bool = False

    def markdown(self) -> str:
        """The table in markdown, caption below."""
        numbers = len(self.header) - self.text_columns
        lines = [_markdown_row(self.header), "|" + " --- |" * self.text_columns + " ---: |" * numbers]
        lines += [_markdown_row(row) for row in self.rows]
        return "\n".join([*lines, "", f"*{plain_markdown(self.caption)}*"])


def number(value: float | None, form: str = "z.3f") -> str:
    """A number, or a dash."""
    return MISSING if value is None else Number(f"{value:{form}}", float(value))


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, or a dash; its full value is the mean."""
    return Number(mean_and_std(values), float(mean(values))) if values else MISSING


def mean_std(cell: Mapping[str, float | None] | None) -> str:
    """A mapping's ``mean`` and ``std``, or a dash."""
    if cell is None or (value := cell["mean"]) is None:
        return MISSING
    std = cell.get("std")
    return Number(f"{value:z.3f}" + ("" if std is None else f" ± {std:.3f}"), value)


def plain_markdown(text: str) -> str:
    """Text of a run, so that markdown shows it as it is: no tags, no table bars, one line."""
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace("|", r"\|").split())


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(plain_markdown(cell) for cell in cells) + " |"
