"""A slide's attention, or its tiles' scores, as a picture: the slide beside itself in grey under colours.

Attention is shown as its percentile within the slide, since its own values span orders of magnitude; where tiles
overlap, a pixel has the mean of theirs. Colours (viridis) are even in lightness and safe for the colour-blind.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, UInt8

from hage_transfer.report.plots import STYLE
from hage_transfer.report.scale_bar import add_scale_bar
from hage_transfer.report.thumbnail import Thumbnail
from hage_transfer.running.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "viridis"
THUMBNAIL_PX = 1400
_LONG_INCHES, _MIN_INCHES, _GAP_INCHES, _ABOVE_INCHES, _BELOW_INCHES = 4.6, 2.6, 0.2, 0.8, 0.8
_OPACITY = 0.62
_DPI = 170


@dataclass(frozen=True)
class TilePlaces:
    """Tiles on a slide.

    Attributes:
        corners_px: top-left of each, level-0 (x, y).
        size_px: width and height at level 0.
    """

    corners_px: Float[np.ndarray, "tile 2"]
    size_px: tuple[float, float]


@dataclass(frozen=True)
class Layer:
    """What lies over the slide.

    Attributes:
        title: above it.
        legend: what the colours are, with its unit.
        limits: values of the first and the last colour.
    """

    title: str = "attention"
    legend: str = "percentile of attention within the slide"
    limits: tuple[float, float] = (0.0, 100.0)


def limits(values: Float[np.ndarray, " tile"]) -> tuple[float, float]:
    """Lowest and highest of a slide's tiles, set apart where all are one.

    >>> limits(np.array([-0.5, 2.0])), limits(np.array([3.0]))
    ((-0.5, 2.0), (2.5, 3.5))
    """
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def percentile_colour(percentile: float) -> tuple[int, int, int]:
    """RGB of a percentile, as in the picture's legend."""
    import matplotlib as mpl

    red, green, blue = (round(255 * part) for part in mpl.colormaps[COLOURS](percentile / 100)[:3])
    return red, green, blue


def draw_attention_map(
    path: Path,
    picture: Thumbnail,
    tiles: TilePlaces,
    values: Float[np.ndarray, " tile"],
    *,
    title: str,
    notes: tuple[str, ...] = (),
    mpp_um_per_px: float | None = None,
    ranked: tuple[int, ...] = (),
    layer: Layer | None = None,
) -> None:
    """Draws the map to a PNG, atomically.

    Args:
        path: the file.
        picture: of the whole slide.
        tiles: where they are.
        values: of each tile, in the unit of the layer.
        title: what was called, and how surely.
        notes: lines below the title.
        mpp_um_per_px: of level 0; None leaves out the scale bar.
        ranked: tiles of highest attention, to outline and number; the first is 1.
        layer: what the values are; None: percentiles of attention within the slide, 0 to 100.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    layer = layer or Layer()
    low, top_value = layer.limits
    window = _window(picture, tiles)
    left, right, top, bottom = window
    width, height = _panel_inches((bottom - top) / (right - left))
    above = _ABOVE_INCHES + 0.17 * max(len(notes) - 1, 0)
    across, high = 2 * width + 3 * _GAP_INCHES, above + height + _BELOW_INCHES
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(across, high))
        FigureCanvasAgg(figure)
        panels = [
            figure.add_axes(
                (
                    (_GAP_INCHES + number * (width + _GAP_INCHES)) / across,
                    _BELOW_INCHES / high,
                    width / across,
                    height / high,
                )
            )
            for number in range(2)
        ]
        _show(panels[0], picture.image, picture.scale, window, title="H&E")
        share = 100 * (values - low) / (top_value - low)
        overlay = blended(
            picture.image,
            tile_means(picture.image.shape[:2], picture.scale, tiles, share),
        )
        marks = _number(panels[1], tiles, ranked, window)
        _show(panels[1], overlay, picture.scale, window, title=layer.title + marks)
        if mpp_um_per_px is not None:
            add_scale_bar(panels[0], window, mpp_um_per_px=mpp_um_per_px)
        else:
            unknown = "no scale bar: µm per pixel not known"
            panels[0].text(0, -0.02, unknown, transform=panels[0].transAxes, va="top", fontsize=8, color="#444444")
        left_in = 2 * _GAP_INCHES + width + 0.08 * width
        bar_axes = figure.add_axes((left_in / across, 0.55 / high, 0.84 * width / across, 0.11 / high))
        bar = figure.colorbar(ScalarMappable(Normalize(*layer.limits), COLOURS), cax=bar_axes, orientation="horizontal")
        bar.set_label(layer.legend, fontsize=8.5)
        bar.ax.tick_params(labelsize=8, length=2)
        figure.text(0.5, 1 - 0.12 / high, title, ha="center", va="top", fontsize=10.5, weight="bold")
        for line, note in enumerate(notes):
            figure.text(0.5, 1 - (0.36 + 0.17 * line) / high, note, ha="center", va="top", fontsize=8)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})


def tile_means(
    shape: tuple[int, int], scale: float, tiles: TilePlaces, values: Float[np.ndarray, " tile"]
) -> Float32[np.ndarray, "height width"]:
    """Mean value of the tiles over each pixel of a picture; NaN where there is none.

    Corners of tiles are added up and summed along both axes, so the work grows with tiles plus pixels. A tile smaller
    than a pixel takes the whole pixel.

    Args:
        shape: height and width of the picture.
        scale: its pixels per level-0 pixel.
        tiles: where they are.
        values: of each.
    """
    low = np.rint(tiles.corners_px * scale).astype(np.int64)
    high = np.maximum(np.rint((tiles.corners_px + tiles.size_px) * scale).astype(np.int64), low + 1)
    limit = np.array([shape[1], shape[0]])
    low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    total, count = np.zeros((shape[0] + 1, shape[1] + 1)), np.zeros((shape[0] + 1, shape[1] + 1))
    for y, x, sign in ((low, low, 1), (low, high, -1), (high, low, -1), (high, high, 1)):
        np.add.at(total, (y[:, 1], x[:, 0]), sign * values)
        np.add.at(count, (y[:, 1], x[:, 0]), sign)
    total, count = (part.cumsum(0).cumsum(1)[:-1, :-1] for part in (total, count))
    covered = np.rint(count) > 0
    return np.divide(total, count, out=np.full(shape, np.nan), where=covered).astype(np.float32)


def blended(
    image: UInt8[np.ndarray, "height width 3"], percentile: Float32[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture in grey, with the colour of the percentile over it where there is one."""
    import matplotlib as mpl

    grey = np.repeat((image @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=2)
    grey = 255 - 0.8 * (255 - grey)  # paler, so that colours keep their lightness
    covered = np.isfinite(percentile)
    colours = 255 * mpl.colormaps[COLOURS](percentile[covered] / 100)[:, :3]
    grey[covered] = (1 - _OPACITY) * grey[covered] + _OPACITY * colours
    return np.rint(grey).astype(np.uint8)


def _window(picture: Thumbnail, tiles: TilePlaces) -> tuple[float, float, float, float]:
    """Left, right, top, bottom at level 0: the tiles with a margin, inside the picture."""
    height, width = (side / picture.scale for side in picture.image.shape[:2])
    low, high = tiles.corners_px.min(0), tiles.corners_px.max(0) + tiles.size_px
    margin = 0.03 * float((high - low).max())
    (left, top), (right, bottom) = (
        np.maximum(low - margin, 0).tolist(),
        np.minimum(high + margin, (width, height)).tolist(),
    )
    return left, right, top, bottom


def _panel_inches(aspect: float) -> tuple[float, float]:
    """Width and height: the longer side is given, the shorter one is not too short for the text."""
    width, height = (_LONG_INCHES, _LONG_INCHES * aspect) if aspect < 1 else (_LONG_INCHES / aspect, _LONG_INCHES)
    return max(width, _MIN_INCHES), height


def _show(
    axes: "Axes",
    image: UInt8[np.ndarray, "height width 3"],
    scale: float,
    window: tuple[float, float, float, float],
    *,
    title: str,
) -> None:
    height, width = image.shape[0] / scale, image.shape[1] / scale
    left, right, top, bottom = window
    axes.imshow(image, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=8.5, pad=3)


def _number(axes: "Axes", tiles: TilePlaces, ranked: tuple[int, ...], window: tuple[float, float, float, float]) -> str:
    """Numbers tiles that are large enough, and outlines them where none overlaps another; says what that marks."""
    from matplotlib.patches import Rectangle

    width, height = tiles.size_px
    large = width / (window[1] - window[0]) > 0.03
    outlined = not _overlap(tiles)
    for number, tile in reversed(list(enumerate(ranked, start=1))):
        x, y = tiles.corners_px[tile]
        if outlined:
            axes.add_patch(Rectangle((x, y), width, height, fill=False, ec="white", lw=2.0))
            axes.add_patch(Rectangle((x, y), width, height, fill=False, ec="black", lw=0.9))
        if large:
            place = (x + width / 2, y + height / 2)
            axes.annotate(
                str(number), place, ha="center", va="center", fontsize=8, color="black",
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
            )  # fmt: skip
    if not ranked or not (large or outlined):
        return ""
    return f"; {'numbers' if large else 'boxes'}: the {len(ranked)} tiles of highest attention"


def _overlap(tiles: TilePlaces) -> bool:
    """Whether neighbouring tiles overlap by more than a rounded pixel."""
    from scipy.spatial import cKDTree

    if len(tiles.corners_px) < 2:
        return False
    distance, _ = cKDTree(tiles.corners_px).query(tiles.corners_px, k=2)
    return float(np.median(distance[:, 1])) < min(tiles.size_px) - 1
