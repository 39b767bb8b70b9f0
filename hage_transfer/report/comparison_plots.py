"""Figure 3 of the paper over all runs: what each feature source scores on every task, and what it gains over frozen."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hage_transfer.compare.differences import Difference
from hage_transfer.report.plots import HATCHES, INK, Plot, colour, draw_svg, shortened
from hage_transfer.report.runs import Run
from hage_transfer.report.tables import CLASSIFIER_METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_INCHES, _ROW_INCHES, _AROUND_INCHES = 3.7, 0.24, 1.05
_TWO_COLUMNS = 18  # letters of a name, beyond which a legend of two columns is wider than the plot
_KINDS = {"probe": "patches", "mil": "slides"}


def comparison_plots(runs: Sequence[Run], metrics: Mapping[str, str] = CLASSIFIER_METRICS) -> list[Plot]:
    """A panel of bars for each metric (and its title), then one of differences for each."""
    bars = [_bars(runs, metric, title) for metric, title in metrics.items()]
    gains = [_gains(runs, metric, title) for metric, title in metrics.items()]
    return [plot for plot in [*bars, *gains] if plot is not None]


def _bars(runs: Sequence[Run], metric: str, title: str) -> Plot | None:
    """A bar for each task and source (mean over folds), a dot for each fold; thin lines join a fold's dots."""
    tasks = [
        (run, values) for run in runs if (values := {s: v for s in run.sources if (v := run.fold_values(s, metric))})
    ]
    if not tasks:
        return None
    places = {s: k for k, s in enumerate(dict.fromkeys(s for _, values in tasks for s in values))}
    rows = sum(len(values) + 1 for _, values in tasks)
    labels = {s: shortened(run.shown(s), most=32) for run, values in reversed(tasks) for s in values}
    columns = 1 if max(map(len, labels.values())) > _TWO_COLUMNS else 2

    def draw(axes: "Axes") -> None:
        row, named = 0.0, set()
        start = 0.5 if metric in ("auc", "c_index") else 0.0  # chance is 0.5, so their bars begin there
        for run, values in tasks:
            axes.text(0.0, row, _name(run), transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
            for k, (source, found) in enumerate(values.items(), start=1):
                style: dict[str, Any] = {
                    "color": colour(places[source]),
                    "hatch": HATCHES[places[source] % len(HATCHES)],
                }
                label = None if source in named else labels[source]
                named.add(source)
                bar: dict[str, Any] = {"height": 0.78, "edgecolor": "white", "alpha": 0.92, "label": label}
                axes.barh(row + k, mean(found.values()) - start, left=start, **style, **bar)
            for fold in dict.fromkeys(fold for found in values.values() for fold in found):
                dots = [found.get(fold, np.nan) for found in values.values()]
                axes.plot(dots, row + 1 + np.arange(len(dots)), "-o", color=INK, lw=0.5, ms=2.6, alpha=0.7)
            row += len(values) + 1.0
        axes.set_ylim(row - 0.4, -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        lowest = min(v for _, values in tasks for found in values.values() for v in found.values())
        axes.set_xlim(min(start, lowest - 0.005 if lowest < start else start), 1.005)
        axes.axvline(start, color=INK, lw=0.6)
        axes.set_xlabel(title)
        axes.figure.legend(loc="outside lower center", ncols=columns, frameon=False)

    text = "; ".join(
        f"{_name(run)}: " + ", ".join(f"{s} {mean(found.values()):.3f}" for s, found in values.items())
        for run, values in tasks
    )
    alt = f"{title}, mean over folds. {text}."
    drawn = [
        (run.name, s, fold, v) for run, values in tasks for s, found in values.items() for fold, v in found.items()
    ]
    data = pd.DataFrame(drawn, columns=["run", "source", "fold", metric])
    return Plot(title, draw_svg(draw, inches=(_WIDTH_INCHES, _height(rows + len(labels) // columns))), alt, data)


def _gains(runs: Sequence[Run], metric: str, title: str) -> Plot | None:
    """Each source minus its baseline: folds, their mean, and its 95% interval about zero."""
    shown = [(run, one) for run in runs for one in run.named.differences(metric) if one.source not in run.controls]
    if not shown:
        return None
    rows = 2 * len(shown)

    def draw(axes: "Axes") -> None:
        for k, (_, one) in enumerate(shown):
            margin, row = one.margin or 0.0, 2 * k + 1
            place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "zorder": 3}
            behind: dict[str, Any] = {
                "facecolor": "white",
                "edgecolor": "none",
                "pad": 1.0,
            }  # the line of zero runs below it
            axes.text(0.0, row - 0.9, _label(one), fontsize=8.5, bbox=behind, **place)
            axes.plot(one.by_fold, [row + 0.22] * one.folds, "o", ms=2.8, color=INK, alpha=0.55)
            axes.plot([one.mean - margin, one.mean + margin], [row - 0.12] * 2, "-", color=colour(0), lw=2.2)
            axes.plot([one.mean], [row - 0.12], "D", ms=5, color=colour(0))
        axes.axvline(0, color=INK, lw=0.9)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(rows - 0.3, -0.5)
        axes.margins(x=0.08)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(f"gain in {title}")

    alt = f"Gain in {title} with its 95% interval: " + "; ".join(
        f"{_label(one)} {one.mean:+z.3f}"
        + ("" if one.interval is None else f" ({one.interval[0]:+z.3f} to {one.interval[1]:+z.3f})")
        + f", {one.verdict}"
        for _, one in shown
    )
    columns = ["run", "source", "baseline", "mean", "low", "high", "verdict", "by_fold"]
    drawn = [
        (
            one.run,
            one.source,
            one.baseline,
            one.mean,
            *(one.interval or (None, None)),
            one.verdict,
            " ".join(map(str, one.by_fold)),
        )
        for _, one in shown
    ]
    data = pd.DataFrame(drawn, columns=columns)
    return Plot(f"Gain in {title}", draw_svg(draw, inches=(_WIDTH_INCHES, _height(rows))), alt, data)


def _height(rows: int) -> float:
    return _AROUND_INCHES + _ROW_INCHES * max(rows, 4)


def _name(run: Run) -> str:
    return f"{shortened(run.name)} ({_KINDS[run.task]})"


def _label(one: Difference) -> str:
    return f"{shortened(one.run, most=22)}: {shortened(one.source, most=14)} minus {shortened(one.baseline, most=14)}"
