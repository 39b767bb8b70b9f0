"""The report in markdown: the same words and numbers; a picture is its description and stands in the html."""

from typing import TYPE_CHECKING

from hage_transfer.report.cells import plain_markdown

if TYPE_CHECKING:
    from hage_transfer.report.layout import Page, Reproduction, Section


def render_markdown(page: "Page") -> str:
    """The page as markdown text."""
    parts = [f"# {page.title}", page.question, f"**{page.answer.headline}.** {plain_markdown(page.answer.sentence)}"]
    if page.answer.parts:
        parts.append("\n".join(f"- **{one.verdict}**: {plain_markdown(one.sentence())}" for one in page.answer.parts))
    if page.warnings:
        parts += ["## Read with care", "\n".join(f"- {plain_markdown(warning)}" for warning in page.warnings)]
    for section in page.sections:
        parts += _section(section)
    parts.append("## How to get these numbers again")
    for run in page.reproduction:
        parts += _reproduction(run)
    return "\n\n".join(parts) + "\n"


def _section(section: "Section") -> list[str]:
    parts = [f"## {plain_markdown(section.title)}", *map(plain_markdown, section.text)]
    for table in section.tables:
        parts += [f"### {plain_markdown(table.title)}"] if table.title else []
        parts.append(table.markdown())
    shown = [(one.title, one.alt) for one in section.plots] + [(one.title, one.alt) for one in section.pictures]
    if shown:
        parts.append(f"Pictures, in [report.html](report.html#{section.anchor}):")
        parts.append("\n".join(f"- {plain_markdown(title)}: {plain_markdown(alt)}" for title, alt in shown))
    return parts


def _reproduction(run: "Reproduction") -> list[str]:
    facts = [f"- {label}: {plain_markdown(text)}" for label, text in run.facts]
    hashes = [f"- sha256, {plain_markdown(label)}: {value}" for label, value in run.hashes]
    fence = "```"
    while fence in run.config or fence in run.command:
        fence += "`"
    return [
        f"### {plain_markdown(run.name)}",
        f"{fence}bash\n{run.command}\n{fence}",
        "\n".join([*facts, *hashes]),
        f"{fence}yaml\n{run.config}\n{fence}",
    ]
