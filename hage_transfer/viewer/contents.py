"""What a run holds for the viewer: its slides in the order of its own table, their facts, and what lies over them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hage_transfer.errors import DataError

Fact = str | float | None


@dataclass(frozen=True, kw_only=True)
class ListedSlide:
    """One slide of a run.

    Attributes:
        name: in the run's own table; the only way to ask for it.
        path: its file; None where it was not found.
        sought: where it was looked for, for the page to say.
        facts: of each source, a value a column of the list.
        overlays: tile table (h5ad) of each source that has one.
        tissue: GeoJSON of its tissue; None where there is none.
        mpp_um_per_px: resolution of level 0 where the run gives it; else the slide's own is taken.
    """

    name: str
    path: Path | None
    sought: str = ""
    facts: Mapping[str, Mapping[str, Fact]] = field(default_factory=dict)
    overlays: Mapping[str, Path] = field(default_factory=dict)
    tissue: Path | None = None
    mpp_um_per_px: float | None = None


@dataclass(frozen=True)
class Contents:
    """A run as the page lists it.

    Attributes:
        title: name of the run.
        kind: what it is, in words.
        columns: key and heading of each column of the list, in order.
        sources: named feature sources or the one thing that has values; never empty.
        slides: by name, in the run's order.
        hint: what to run where values are missing; empty where they are there.
    """

    title: str
    kind: str
    columns: Mapping[str, str]
    sources: tuple[str, ...]
    slides: Mapping[str, ListedSlide]
    hint: str = ""


def by_name(slides: list[ListedSlide], where: Path) -> dict[str, ListedSlide]:
    """Slides by name.

    Raises:
        DataError: none at all, or a name with a slash or that is there twice.
    """
    if not slides:
        raise DataError(f"{where}: holds no slide")
    found: dict[str, ListedSlide] = {}
    for slide in slides:
        if slide.name in found or "/" in slide.name:
            fault = "is there twice" if slide.name in found else "has a slash"
            raise DataError(f"{where}: slide {slide.name} {fault}; a slide's name is that of one file")
        found[slide.name] = slide
    return found
