"""Plots of the report: each one small panel as SVG, with the text that stands for it where it cannot be seen.

Colours are told apart by colour-blind readers and stand out from white at 3:1 or more; sources differ in hatching and
line style too.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hage_transfer.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
SOURCE_COLOURS = ("#0072B2", "#D55E00", "#008060", "#9B4F8E", "#4D4D4D", "#8A6D00", "#3B8EC2", "#A03030")
HATCHES = ("", "//", "..", "xx", "\\\\", "++")
STYLES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v", "P")
PANEL_INCHES = (3.7, 2.9)
INK = "#222222"
MAX_POINTS = 400
FEW_LINES = 3
_LEGEND_ROW_INCHES = 0.17
_LINE_PT = 10.0
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "hage",  # names inside the picture are then the same from run to run
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True)
class Plot:
    """A panel: its title, its picture, what it shows in words, and the numbers that are drawn, a row each."""

    title: str
    svg: str
    alt: str
    data: pd.DataFrame | None = None


def roc_plot(run: Run, predictions: pd.DataFrame) -> Plot | None:
    """Out-of-fold ROC curves, one for each trial of each source; None with more than two classes.

    The area in the legend is the mean of the trials' own areas: the curve of their averaged probability would be that
    of an ensemble, which the source with one trial is not.
    """
    from sklearn.metrics import roc_auc_score

    positive = run.meta.get("positive")
    column = f"probability_{positive}"
    if positive is None or column not in predictions:
        return None
    by_trial = {
        str(name): [rows for _, rows in table.groupby("trial", dropna=False, sort=False)]
        for name, table in predictions.groupby("source", sort=False)
    }
    if any((rows["label"] == str(positive)).nunique() < 2 for trials in by_trial.values() for rows in trials):
        return None
    areas = {
        name: float(np.mean([roc_auc_score(rows["label"] == str(positive), rows[column]) for rows in trials]))
        for name, trials in by_trial.items()
    }

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], ":", color="#777777", lw=1)
        for place, (name, trials) in enumerate(by_trial.items()):
            many = f", mean of {len(trials)} trials" if len(trials) > 1 else ""
            width = 1.8 if len(trials) == 1 else 0.9
            for first, rows in enumerate(trials):
                wrong, right = thinned_roc(rows["label"] == str(positive), rows[column])
                label = f"{shortened(name)}, {areas[name]:.3f}{many}" if first == 0 else None
                axes.plot(wrong, right, STYLES[place % 4], color=colour(place), lw=width, label=label)
        axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
        add_legend(axes, title="area, folds pooled")

    alt = "ROC curves of all folds pooled, one a trial; area under them: "
    alt += ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    drawn = [
        pd.DataFrame(
            dict(
                zip(
                    ("false_positive_rate", "true_positive_rate"),
                    thinned_roc(rows["label"] == str(positive), rows[column]),
                    strict=True,
                )
            )
        ).assign(source=name, trial=number)
        for name, trials in by_trial.items()
        for number, rows in enumerate(trials)
    ]
    return Plot(f"ROC, positive class “{positive}”", draw_svg(draw), alt, pd.concat(drawn))


def thinned_roc(positive: "pd.Series[bool]", probability: "pd.Series[float]") -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, at no more points than a small panel can show."""
    from sklearn.metrics import roc_curve

    wrong, right, _ = roc_curve(positive, probability)
    if len(wrong) <= MAX_POINTS:
        return wrong, right
    kept = np.unique(np.linspace(0, len(wrong) - 1, MAX_POINTS).astype(int))
    return wrong[kept], right[kept]


def colour(place: int) -> str:
    """Colour of a source by its place."""
    return SOURCE_COLOURS[place % len(SOURCE_COLOURS)]


def colours(amount: int) -> Sequence[str]:
    """Colours of the first sources."""
    return [colour(place) for place in range(amount)]


def shortened(name: str, *, most: int = 28) -> str:
    """A name that fits into a panel.

    Dollar signs, which matplotlib would read as mathematics, are escaped; a leading underscore would hide a label.
    """
    short = name if len(name) <= most else f"…{name[1 - most :]}"
    return (f" {short}" if short.startswith("_") else short).replace("$", r"\$")


def add_legend(axes: "Axes", *, title: str | None = None) -> None:
    """Names of the lines: inside the panel where they are few, else below it, and the panel as much higher."""
    amount = len(axes.get_legend_handles_labels()[1])
    if amount <= FEW_LINES:
        axes.legend(loc="lower right", frameon=False, title=title)
        return
    figure: Figure = axes.figure  # type: ignore[assignment]  # no panel is within another
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW_INCHES * (amount + (title is not None)))
    figure.legend(loc="outside lower center", frameon=False, title=title)


def draw_svg(draw: Callable[["Axes"], None], *, inches: tuple[float, float] = PANEL_INCHES) -> str:
    """Draws one panel; see ``draw_figure``."""
    return draw_figure(lambda figure: draw(figure.add_subplot()), inches=inches)


def draw_figure(draw: Callable[["Figure"], None], *, inches: tuple[float, float]) -> str:
    """Draws without a display and without global state; the same data give the same text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        with warnings.catch_warnings():  # letters that the font lacks are drawn as boxes; the text beside has them
            warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def with_line_above(svg: str, text: str) -> str:
    """The picture with a small line of text above it, which covers nothing."""
    head = re.search(r'height="([\d.]+)pt" viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert head is not None, "matplotlib's own head"
    height, width, units = (float(found) for found in head.groups())
    taller = f'height="{height + _LINE_PT:g}pt" viewBox="0 {-_LINE_PT:g} {width:g} {units + _LINE_PT:g}"'
    line = f'<text x="2" y="-2" font-size="7.5" font-family="sans-serif" fill="#8a3b00">{text}</text></svg>'
    return line.join((svg[: head.start()] + taller + svg[head.end() :]).rsplit("</svg>", 1))
