"""The report in html: one file, pictures inside, no script and no outside request."""

import base64
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from hage_transfer.report.layout import Page

TEMPLATE = "report.html.jinja"


def render_html(page: "Page") -> str:
    """The page as html text; every text in it is escaped."""
    return _environment().get_template(TEMPLATE).render(page=page)


def data_uri(svg: str) -> str:
    """An SVG picture as the address of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


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
