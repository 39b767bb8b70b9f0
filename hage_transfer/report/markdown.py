"""The report in markdown: numbers and words, no pictures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hage_transfer.report.layout import Page


def render_markdown(page: "Page") -> str:
    """The page as markdown text."""
    parts = [f"# {page.title}", page.question]
    if page.answers:
        parts.append("\n".join(f"- **{answer.verdict}**: {answer.sentence()}" for answer in page.answers))
    if page.warnings:
        parts += ["## Read with care", "\n".join(f"- {warning}" for warning in page.warnings)]
    for section in page.sections:
        parts += [f"## {section.title}", *section.text, *(table.markdown() for table in section.tables)]
        if section.plots:
            parts.append("\n".join(f"- {plot.title}: {plot.alt}" for plot in section.plots))
    parts.append("## How to get these numbers again")
    for run in page.reproduction:
        parts += [
            f"### {run.name}",
            f"- command: `{run.command}`\n- commit: {run.commit}\n- packages: {run.packages}\n"
            f"- results: sha256 {run.results_sha256}",
            f"```yaml\n{run.config}\n```",
        ]
    return "\n\n".join(parts) + "\n"
