"""The report in html: one file; pictures, style and the script that sorts tables inside it, no outside request."""

import base64
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from hage_transfer.report.pictures import Picture
from hage_transfer.report.plots import Plot
from hage_transfer.report.words import Words, anchor

if TYPE_CHECKING:
    from hage_transfer.report.layout import Page

TEMPLATE = "report.html.jinja"


def render_html(page: "Page", *, template: str = TEMPLATE) -> str:
    """The page as html text; every text in it is escaped."""
    words = Words()
    return _environment().get_template(template).render(page=page, words=words, terms=words.mark, anchor=anchor)


def data_uri(shown: Plot | Picture) -> str:
    """A picture as the address of an image."""
    if isinstance(shown, Picture):
        return "data:image/jpeg;base64," + base64.b64encode(shown.jpeg).decode()
    return "data:image/svg+xml;base64," + base64.b64encode(shown.svg.encode()).decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hage_transfer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment
