"""Links of the pages as GitHub shows them: each leads to a file, and to a heading of it where one is named."""

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)


def links(page: Path) -> list[str]:
    """Targets of a page's links that stay in the project."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return [one for one in _LINK.findall(text) if not re.match(r"[a-z]+:", one)]


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub and mkdocs make them of text."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", one.lower()).strip()) for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_are_there_and_its_tables_have_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:tests|benchmarks)/[\w/]+\.py\b", text))
    if page.name not in ("CHANGELOG.md", "decisions.md"):  # these tell of what was
        assert not [one for one in named if not (ROOT / one).is_file()]
    for table in re.findall(r"(?:^\|.*\n?)+", _FENCE.sub("", text), re.M):
        assert re.match(r"\|.*\n\|[\s:|-]+\n", table), f"rows of no table: {table[:80]}"


@pytest.mark.parametrize("start", ["README.md", "docs/index.md"])
def test_every_how_to_is_reached_from_the_first_page(start: str) -> None:
    reached, new = set(), [ROOT / start]
    while new:
        page = new.pop()
        reached.add(page)
        near = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        new += [one for one in near if one.suffix == ".md" and one.exists() and one not in {*reached, *new}]
    assert set((ROOT / "docs" / "how-to").glob("*.md")) <= reached


def named_objects() -> list[str]:
    """What the pages of the library name, for mkdocstrings to fill in."""
    pages = (ROOT / "docs" / "reference").glob("*.md")
    return [one for page in pages for one in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.M)]


@pytest.mark.parametrize("name", named_objects())
def test_objects_that_reference_pages_name_are_there(name: str) -> None:
    path = f"hage_transfer.{name.removeprefix('hage_transfer.')}"
    assert pkgutil.resolve_name(path) is not None
