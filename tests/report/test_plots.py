"""Legends, and the line above a picture, cover nothing that is drawn."""

import re

import pytest
from matplotlib.axes import Axes

from hage_transfer.report.plots import PANEL_INCHES, add_legend, draw_svg, with_line_above

POINTS_PER_INCH = 72


def view(svg: str) -> list[float]:
    found = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', svg)
    assert found is not None
    return [float(number) for number in found.groups()]


def drawn(amount: int, title: str | None = None) -> tuple[str, Axes]:
    kept = []

    def draw(axes):
        kept.append(axes)
        for number in range(amount):
            axes.plot([0, 1], [0, number], label=f"source {number}")
        add_legend(axes, title=title)

    return draw_svg(draw), kept[0]


def test_few_names_stand_inside_the_panel_and_leave_its_size():
    svg, axes = drawn(3)
    assert view(svg)[3] == pytest.approx(PANEL_INCHES[1] * POINTS_PER_INCH)
    assert axes.get_legend() is not None


def test_many_names_stand_below_the_axes_and_cost_them_no_height():
    svg, axes = drawn(6, title="area")
    assert view(svg)[3] > PANEL_INCHES[1] * POINTS_PER_INCH
    axes.figure.draw_without_rendering()
    (legend,) = axes.figure.legends
    assert legend.get_window_extent().y1 < axes.get_tightbbox().y0
    few = drawn(3)[1]
    few.figure.draw_without_rendering()
    assert axes.get_window_extent().height == pytest.approx(few.get_window_extent().height, rel=0.1)


def test_a_line_above_a_picture_makes_it_higher_and_stands_outside_what_was_there():
    before, _ = drawn(2)
    after = with_line_above(before, "synthetic data")
    left, top, width, height = view(after)
    assert (left, width) == (0, view(before)[2])
    assert top < 0 and height + top == pytest.approx(view(before)[3])
    y = float(re.search(r'<text x="2" y="(\S+)"[^>]*>synthetic data</text>', after)[1])  # type: ignore[index]
    assert top < y < 0
    assert float(re.search(r'height="(\S+)pt"', after)[1]) == pytest.approx(height)  # type: ignore[index]
