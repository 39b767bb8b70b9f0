"""Plots of the report: each one small panel as SVG, with the text that stands for it where it cannot be seen.

Colours are Okabe & Ito's, which colour-blind readers tell apart; sources differ in hatching too.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hage_transfer.report.runs import Run
from hage_transfer.report.tables import CLASSIFIER_METRICS, METHODS
from hage_transfer.report.verdict import difference
from hage_transfer.results import MEAN, STD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
HATCHES = ("", "//", "..", "xx", "\\\\", "++")
PANEL_INCHES = (3.7, 2.9)
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "hage",  # names inside the picture are then the same from run to run
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True)
class Plot:
    """A panel: its title, its picture, and what it shows in words."""

    title: str
    svg: str
    alt: str


def comparison_plots(run: Run) -> list[Plot]:
    """One panel for each metric: a bar for each source (mean over folds), a dot for each fold, lines pair folds."""
    return [_comparison_plot(run, metric, title) for metric, title in CLASSIFIER_METRICS.items()]


def difference_plot(run: Run, source: str, baseline: str) -> Plot:
    """What a source gains over its baseline in each metric: folds, their mean, and its 95% interval about zero."""
    found = {title: difference(run, metric, source, baseline) for metric, title in CLASSIFIER_METRICS.items()}
    shown = {title: one for title, one in found.items() if one is not None}

    def draw(axes: "Axes") -> None:
        for place, one in enumerate(reversed(shown.values())):
            margin = one.margin or 0.0
            axes.plot(one.by_fold, [place] * one.folds, "o", ms=4, color="#222222", alpha=0.45)
            axes.plot([one.mean - margin, one.mean + margin], [place - 0.22] * 2, "-", color=OKABE_ITO[0], lw=2.2)
            axes.plot([one.mean], [place - 0.22], "D", ms=6, color=OKABE_ITO[0])
        axes.axvline(0, color="#222222", lw=0.9)
        axes.set_yticks(range(len(shown)), list(reversed(shown)))
        axes.set_ylim(-0.6, len(shown) - 0.6)
        axes.set_xlabel(f"{source} less {baseline}")

    alt = f"{source} less {baseline}: " + ", ".join(
        f"{title} {one.mean:+.3f} ({one.verdict})" for title, one in shown.items()
    )
    return Plot(f"{source} less {baseline}", draw_svg(draw), alt)


def gene_plot(run: Run) -> Plot:
    """PCC over all genes of every method: a bar, and a dot for each test section."""
    constant = ("gene_mean", "gene_median", "all_zero")
    methods = [m for m in METHODS if m in run.sources and m not in constant]
    sections = {
        m: [r.value for r in run.section_records() if r.source == m and r.metric == "pcc_all" and r.value is not None]
        for m in methods
    }
    means = {m: float(np.mean(list(run.fold_values(m, "pcc_all").values()) or [0.0])) for m in methods}

    def draw(axes: "Axes") -> None:
        places = np.arange(len(methods))[::-1]
        axes.barh(places, [means[m] for m in methods], color=_colours(len(methods)), alpha=0.85, height=0.62)
        for place, method in zip(places, methods, strict=True):
            axes.plot(sections[method], [place] * len(sections[method]), "o", ms=3.5, color="#222222", alpha=0.75)
        axes.set_yticks(places, [METHODS[m].replace(", ", ",\n").replace(" on the ", "\non the ") for m in methods])
        axes.axvline(0, color="#222222", lw=0.8)
        axes.set_xlabel("PCC, mean over genes")

    alt = "PCC over all genes: " + ", ".join(f"{METHODS[m]} {means[m]:.3f}" for m in methods)
    return Plot("Genes from the image", draw_svg(draw), alt)


def roc_plot(run: Run, predictions: pd.DataFrame) -> Plot | None:
    """Out-of-fold ROC curves, one for each trial of each source; None with more than two classes.

    The area in the legend is the mean of the trials' own areas: the curve of their averaged probability would be that
    of an ensemble, which the source with one trial is not.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    positive = run.meta.get("positive")
    column = f"probability_{positive}"
    if positive is None or column not in predictions:
        return None
    by_trial = {
        str(name): [rows for _, rows in table.groupby("trial", dropna=False, sort=False)]
        for name, table in predictions.groupby("source", sort=False)
    }
    areas = {
        name: float(np.mean([roc_auc_score(rows["label"] == str(positive), rows[column]) for rows in trials]))
        for name, trials in by_trial.items()
    }

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], ":", color="#777777", lw=1)
        for number, (name, trials) in enumerate(by_trial.items()):
            style, width = ("-", "--", "-.", ":")[number % 4], 1.8 if len(trials) == 1 else 0.9
            many = f", mean of {len(trials)} trials" if len(trials) > 1 else ""
            for place, rows in enumerate(trials):
                wrong, right, _ = roc_curve(rows["label"] == str(positive), rows[column])
                label = f"{name}, {areas[name]:.3f}{many}" if place == 0 else None
                axes.plot(wrong, right, style, color=OKABE_ITO[number], lw=width, label=label)
        axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
        axes.legend(loc="lower right", frameon=False, title="area, folds pooled")

    alt = "ROC curves of all folds pooled, one a trial; area under them: "
    alt += ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    return Plot(f"ROC, positive class “{positive}”", draw_svg(draw), alt)


def curve_plots(curves: pd.DataFrame) -> list[Plot]:
    """A panel for each logged term: faint lines are trials, the thick one their mean, dots the value at chance."""
    chance = set(curves["term"][curves["term"].str.endswith("_chance")])
    return [
        _curve_plot(curves, term, f"{term}_chance" if f"{term}_chance" in chance else None)
        for term in dict.fromkeys(curves["term"])
        if term not in chance
    ]


def _comparison_plot(run: Run, metric: str, title: str) -> Plot:
    values = {source: run.fold_values(source, metric) for source in run.sources}
    means = {source: float(np.mean(list(v.values()))) for source, v in values.items() if v}
    folds = [fold for fold in run.folds() if fold not in (MEAN, STD)]

    def draw(axes: "Axes") -> None:
        places = np.arange(len(means))
        axes.bar(
            places,
            list(means.values()),
            width=0.6,
            color=_colours(len(means)),
            hatch=[HATCHES[i % len(HATCHES)] for i in range(len(means))],
            edgecolor="white",
            alpha=0.9,
        )
        for fold in folds:
            axes.plot(places, [values[s].get(fold, np.nan) for s in means], "-", color="#222222", lw=0.7, alpha=0.4)
            axes.plot(places, [values[s].get(fold, np.nan) for s in means], "o", color="#222222", ms=4, alpha=0.8)
        axes.set_xticks(places, list(means))
        lowest = min((min(v.values()) for v in values.values() if v), default=0.0)
        # An AUC at chance is 0.5, so its bars begin there; any other bar begins at zero.
        axes.set_ylim(0.5 if metric == "auc" and lowest >= 0.5 else 0.0, 1.005)
        axes.set_ylabel(title)
        axes.margins(x=0.12)

    alt = f"{title}, mean over {len(folds)} folds: " + ", ".join(f"{s} {m:.3f}" for s, m in means.items())
    return Plot(title, draw_svg(draw), alt)


def _curve_plot(curves: pd.DataFrame, term: str, chance: str | None) -> Plot:
    table = curves[curves["term"] == term]
    mean = table.groupby("epoch")["value"].mean()

    def draw(axes: "Axes") -> None:
        for _, trial in table.groupby(["fold", "trial"]):
            axes.plot(trial["epoch"] + 1, trial["value"], "-", color=OKABE_ITO[0], lw=0.8, alpha=0.35)
        axes.plot(mean.index + 1, mean.to_numpy(), "-", color=OKABE_ITO[0], lw=2.2, label="mean of trials")
        if chance is not None:
            at_chance = curves[curves["term"] == chance].groupby("epoch")["value"].mean()
            axes.plot(at_chance.index + 1, at_chance.to_numpy(), "--", color=OKABE_ITO[5], lw=1.4, label="at chance")
            axes.legend(frameon=False)
        axes.set_xlabel("Epoch")

    alt = f"{term} over epochs: from {mean.iloc[0]:.3f} to {mean.iloc[-1]:.3f}, mean of trials"
    return Plot(term, draw_svg(draw), alt)


def _colours(number: int) -> Sequence[str]:
    return [OKABE_ITO[i % len(OKABE_ITO)] for i in range(number)]


def draw_svg(draw: Callable[["Axes"], None]) -> str:
    """Draws one panel without a display and without global state; the same data give the same text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=PANEL_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
