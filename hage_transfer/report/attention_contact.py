"""The tiles of highest and of lowest attention side by side, as the encoder saw them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hage_transfer.report.plots import STYLE
from hage_transfer.running.atomic import atomic_path

_TILE_INCHES, _GAP_INCHES, _CAPTION_INCHES, _HEAD_INCHES, _TITLE_INCHES = 1.35, 0.12, 0.36, 0.3, 0.42
_FOOT_INCHES, _LINE_INCHES = 0.26, 0.15
_COLUMNS = 8
_DPI = 170


@dataclass(frozen=True)
class ContactRow:
    """Tiles under one heading.

    Attributes:
        heading: what they are.
        tiles: their numbers, in order.
        captions: of each, one or two lines.
        colours: RGB of each one's frame.
    """

    heading: str
    tiles: Sequence[int]
    captions: Sequence[str]
    colours: Sequence[tuple[int, int, int]]


def draw_contact_sheet(
    path: Path,
    groups: Sequence[ContactRow],
    read: Callable[[int], UInt8[np.ndarray, "tile_px tile_px 3"]],
    *,
    title: str,
    subtitles: Sequence[str] = (),
    note: str = "",
) -> None:
    """Draws the sheet to a PNG, atomically; eight tiles a row, read one at a time.

    Args:
        path: the file.
        groups: tiles by heading.
        read: pixels of a tile.
        title: of the sheet.
        subtitles: lines below it: what explains, what a reader must know.
        note: below the tiles, what the captions mean.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, max(len(group.tiles) for group in groups))
    lines = [math.ceil(len(group.tiles) / columns) for group in groups]
    row = _TILE_INCHES + _CAPTION_INCHES
    width = max(columns * (_TILE_INCHES + _GAP_INCHES) + _GAP_INCHES, 4.2)
    title_inches = _TITLE_INCHES + _LINE_INCHES * len(subtitles)
    height = title_inches + sum(_HEAD_INCHES + count * row for count in lines) + _FOOT_INCHES
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        figure.text(_GAP_INCHES / width, 1 - 0.1 / height, title, va="top", fontsize=10.5, weight="bold")
        for place, line in enumerate(subtitles):
            down = 0.34 + _LINE_INCHES * place
            figure.text(_GAP_INCHES / width, 1 - down / height, line, va="top", fontsize=7.5, color="#444444")
        top = title_inches
        for group, count in zip(groups, lines, strict=True):
            figure.text(_GAP_INCHES / width, 1 - (top + 0.06) / height, group.heading, va="top", fontsize=9.5)
            top += _HEAD_INCHES
            for place, tile in enumerate(group.tiles):
                down, across = divmod(place, columns)
                left = _GAP_INCHES + across * (_TILE_INCHES + _GAP_INCHES)
                bottom = height - top - down * row - _TILE_INCHES
                axes = figure.add_axes((left / width, bottom / height, _TILE_INCHES / width, _TILE_INCHES / height))
                axes.imshow(read(tile), interpolation="antialiased")
                axes.set_xticks([])
                axes.set_yticks([])
                for spine in axes.spines.values():
                    spine.set(visible=True, linewidth=2.2, color=[part / 255 for part in group.colours[place]])
                axes.set_xlabel(group.captions[place], fontsize=7.5, labelpad=3, linespacing=1.15)
            top += count * row
        figure.text(_GAP_INCHES / width, 0.08 / height, note, va="bottom", fontsize=7.5, color="#444444")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})
