"""Maps of a prediction, drawn from its file: a gene's measured and predicted expression, and where it is attended to.

Figure 2 of the paper: measured, predicted on the measured values' scale, predicted on its own scale. Drawn without a
display; the same file gives the same picture. The colours (viridis) are even in lightness and safe for the
colour-blind; every spot or tile has its true size.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
from jaxtyping import Float

from hage_transfer.data.expression import UNITS
from hage_transfer.report.plots import OKABE_ITO, STYLE
from hage_transfer.report.prediction_file import thumbnail_of
from hage_transfer.report.scale_bar import add_scale_bar
from hage_transfer.report.thumbnail import Thumbnail
from hage_transfer.running.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

COLOURS = "viridis"
_PANEL_INCHES, _GAP_INCHES, _ABOVE_INCHES, _BELOW_INCHES = 3.3, 0.15, 0.85, 0.75
MANY = 3000
"""Shapes past which they go into an SVG as one picture."""


@dataclass(frozen=True)
class _Canvas:
    """Where everything of one prediction is drawn: places, window, picture."""

    centres_px: Float[np.ndarray, "spot 2"]
    diameter_px: float
    square: bool
    picture: Thumbnail | None
    mpp_um_per_px: float

    @classmethod
    def of(cls, prediction: ad.AnnData) -> "_Canvas":
        facts = prediction.uns["hage"]
        factors = prediction.uns["spatial"][facts["name"]]["scalefactors"]
        return cls(
            np.asarray(prediction.obsm["spatial"], dtype=np.float64),
            float(factors["spot_diameter_fullres"]),
            str(facts["shape"]) == "square",
            thumbnail_of(prediction),
            float(facts["mpp_um_per_px"]),
        )

    @property
    def window(self) -> tuple[float, float, float, float]:
        """Left, right, top, bottom at level 0: the spots with a margin, inside the picture."""
        margin = 1.5 * self.diameter_px
        low, high = self.centres_px.min(0) - margin, self.centres_px.max(0) + margin
        if self.picture is not None:
            height, width = (side / self.picture.scale for side in self.picture.image.shape[:2])
            low, high = np.maximum(low, 0), np.minimum(high, (width, height))
        (left, top), (right, bottom) = low.tolist(), high.tolist()
        return left, right, top, bottom

    @property
    def aspect(self) -> float:
        """Height by width of the window."""
        left, right, top, bottom = self.window
        return (bottom - top) / (right - left)


def draw_gene(prediction: ad.AnnData, gene: str, path: Path, *, note: str = "") -> None:
    """Draws Figure 2 for one gene to ``path`` and, beside it, as `.svg`.

    Args:
        prediction: as ``make_prediction`` makes it; without a target there is only the prediction's own scale.
        gene: one of its symbols.
        path: a `.png`.
        note: a line below the title, for what a reader must know of the choice of gene or encoders.
    """
    canvas, facts = _Canvas.of(prediction), prediction.uns["hage"]
    column = prediction.var_names.get_loc(gene)
    predicted = np.asarray(prediction.X[:, column])
    target = np.asarray(prediction.layers["target"][:, column]) if "target" in prediction.layers else None
    sheet = _Sheet((canvas.picture is not None) + (1 if target is None else 3), canvas.aspect)
    sheet.write_title(f"{gene}, {facts['name']}: {_pcc_text(prediction, gene)}", note)
    unit = UNITS.get(str(facts["preset"]), str(facts["preset"]))
    next_panel = _show_picture(sheet, canvas)
    if target is not None:
        low, high = _range(target)
        measured, on_its_scale = sheet.panels[next_panel], sheet.panels[next_panel + 1]
        _show_values(measured, canvas, target, low, high, title="measured")
        shared = _show_values(on_its_scale, canvas, predicted, low, high, title="predicted, measured scale")
        sheet.add_bar(shared, next_panel, n_panels=2, extend=_extend(predicted, low, high), label=unit)
    own = _show_values(sheet.panels[-1], canvas, predicted, *_range(predicted), title="predicted, own scale")
    sheet.add_bar(own, len(sheet.panels) - 1, label=unit)
    _add_scale_bar(sheet.panels[0], canvas)
    sheet.save(path)


def draw_attention(prediction: ad.AnnData, gene: str, path: Path) -> None:
    """Draws the regions and one gene's attention (times |G|: 1 is a uniform share) to ``path`` and as `.svg`.

    Args:
        prediction: with ``layers["attention"]`` and the regions in ``obs["region"]``.
        gene: one of its symbols.
        path: a `.png`.
    """
    from matplotlib.lines import Line2D

    regions = prediction.obs["region"].cat.codes.to_numpy()
    names = [f"{name} ({(regions == code).sum()})" for code, name in enumerate(prediction.obs["region"].cat.categories)]
    canvas, facts = _Canvas.of(prediction), prediction.uns["hage"]
    attention = np.asarray(prediction.layers["attention"][:, prediction.var_names.get_loc(gene)])
    ratio = attention / float(facts["attention_uniform"])
    sheet = _Sheet(3 if canvas.picture is not None else 2, canvas.aspect, legend_rows=math.ceil(len(names) / 3))
    note = "mean over heads and encoders; how the encoder weighs the gene's embedding, no measurement of its expression"
    sheet.write_title(f"attention to {gene}, {facts['name']}", note)
    where = sheet.panels[_show_picture(sheet, canvas)]
    shades = [OKABE_ITO[number % len(OKABE_ITO)] for number in range(len(names))]
    _frame(where, canvas, title=f"regions: {facts['regions_from']}")
    _image(where, canvas, alpha=0.35)
    shapes = _shapes(canvas, where)
    shapes.set_facecolor([shades[number] for number in regions])
    where.add_collection(shapes)
    marks = [Line2D([], [], ls="", marker="s", color=s, label=n) for s, n in zip(shades, names, strict=True)]
    legend = {"ncols": 3, "frameon": False, "fontsize": 7.5, "columnspacing": 0.8, "handletextpad": 0.1}
    where.legend(handles=marks, loc="upper center", bbox_to_anchor=(0.5, -0.01), **legend)
    shown = _show_values(sheet.panels[-1], canvas, ratio, *_range(ratio), title="attention")
    sheet.add_bar(shown, len(sheet.panels) - 1, label="times a uniform share (1 / number of genes)")
    _add_scale_bar(sheet.panels[0], canvas)
    sheet.save(path)


class _Sheet:
    """A row of panels of one size, with room for a title above and for colour bars below; measured in inches."""

    def __init__(self, n_panels: int, aspect: float, *, legend_rows: int = 0) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._panel = (_PANEL_INCHES, _PANEL_INCHES * min(max(aspect, 0.3), 3.0))
        self._below = max(_BELOW_INCHES, 0.16 * legend_rows + 0.15)
        self._width = n_panels * (_PANEL_INCHES + _GAP_INCHES) + _GAP_INCHES
        self._height = self._below + self._panel[1] + _ABOVE_INCHES
        self.figure = Figure(figsize=(self._width, self._height))
        FigureCanvasAgg(self.figure)
        self.panels = [self._axes(self._left(number), self._below, *self._panel) for number in range(n_panels)]

    def write_title(self, title: str, note: str) -> None:
        for text, inches, size in ((title, 0.14 if note else 0.26, 12), (note, 0.38, 8.5)):
            self.figure.text(0.5, 1 - inches / self._height, text, ha="center", va="top", fontsize=size)

    def add_bar(
        self, shown: "ScalarMappable", first: int, *, n_panels: int = 1, extend: str = "neither", label: str
    ) -> None:
        """A horizontal bar below ``n_panels`` panels from ``first`` on."""
        across = n_panels * self._panel[0] + (n_panels - 1) * _GAP_INCHES
        width = min(across, 1.2 * _PANEL_INCHES) * 0.85
        axes = self._axes(self._left(first) + (across - width) / 2, self._below - 0.2, width, 0.1)
        bar = self.figure.colorbar(shown, cax=axes, orientation="horizontal", extend=extend)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=8, length=2)

    def save(self, path: Path) -> None:
        """Writes `.png` and `.svg`, each whole or not at all."""
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            for ending, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
                with atomic_path(path.with_suffix(ending)) as temporary:
                    self.figure.savefig(temporary, format=ending[1:], dpi=150, metadata=metadata)

    def _left(self, number: int) -> float:
        return _GAP_INCHES + number * (_PANEL_INCHES + _GAP_INCHES)

    def _axes(self, left: float, bottom: float, width: float, height: float) -> "Axes":
        return self.figure.add_axes(
            (left / self._width, bottom / self._height, width / self._width, height / self._height)
        )


def _pcc_text(prediction: ad.AnnData, gene: str) -> str:
    if "pcc" not in prediction.var:
        return "no counts to compare with"
    pcc = float(prediction.var.loc[gene, "pcc"])
    return "no PCC, measured values are constant" if math.isnan(pcc) else f"PCC {pcc:.3f}"


def _show_picture(sheet: _Sheet, canvas: _Canvas) -> int:
    """Shows the H&E in the first panel where there is one; returns the number of the next free panel."""
    if canvas.picture is None:
        return 0
    _frame(sheet.panels[0], canvas, title="H&E")
    _image(sheet.panels[0], canvas, alpha=1.0)
    return 1


def _show_values(
    axes: "Axes", canvas: _Canvas, values: Float[np.ndarray, " spot"], low: float, high: float, *, title: str
) -> "ScalarMappable":
    _frame(axes, canvas, title=title)
    _image(axes, canvas, alpha=0.35)
    shapes = _shapes(canvas, axes)
    shapes.set_array(values)
    shapes.set_cmap(COLOURS)
    shapes.set_clim(low, high)
    axes.add_collection(shapes)
    return shapes


def _shapes(canvas: _Canvas, axes: "Axes") -> Any:
    """Circles or squares of true size at the spots, in level-0 pixels."""
    from matplotlib.collections import EllipseCollection, PolyCollection

    side = canvas.diameter_px
    if canvas.square:
        corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) * side
        shapes: Any = PolyCollection(list(canvas.centres_px[:, None] + corners), linewidths=0, antialiaseds=False)
    else:
        n = len(canvas.centres_px)
        shapes = EllipseCollection(
            np.full(n, side), np.full(n, side), np.zeros(n), units="xy", offsets=canvas.centres_px, linewidths=0
        )
        shapes.set_offset_transform(axes.transData)
    shapes.set_rasterized(len(canvas.centres_px) > MANY)
    return shapes


def _frame(axes: "Axes", canvas: _Canvas, *, title: str) -> None:
    left, right, top, bottom = canvas.window
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)  # downwards, as the image
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9.5)


def _image(axes: "Axes", canvas: _Canvas, *, alpha: float) -> None:
    if canvas.picture is None:
        return
    height, width = (side / canvas.picture.scale for side in canvas.picture.image.shape[:2])
    axes.imshow(canvas.picture.image, extent=(0, width, height, 0), alpha=alpha, interpolation="antialiased")
    left, right, top, bottom = canvas.window
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _add_scale_bar(axes: "Axes", canvas: _Canvas) -> None:
    """A bar, where the resolution is known."""
    if not math.isfinite(canvas.mpp_um_per_px):
        return
    add_scale_bar(axes, canvas.window, mpp_um_per_px=canvas.mpp_um_per_px)


def _range(values: Float[np.ndarray, " spot"]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _extend(values: Float[np.ndarray, " spot"], low: float, high: float) -> str:
    below, above = bool((values < low).any()), bool((values > high).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
