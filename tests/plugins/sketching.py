"""Figures of pages that are put together and not rendered, half of a page's time: for tests of words and tables."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

EMPTY = '<svg width="1pt" height="1pt" viewBox="0 0 1 1"></svg>'
"""With the head that matplotlib's figures have."""


@contextmanager
def sketching() -> Iterator[None]:
    """What goes into a page is ``EMPTY``; pictures of their own are drawn."""
    from matplotlib.figure import Figure

    render = Figure.savefig

    def savefig(figure: Figure, to: Any, **options: Any) -> None:
        if isinstance(to, io.StringIO):
            to.write(EMPTY)
        else:
            render(figure, to, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
