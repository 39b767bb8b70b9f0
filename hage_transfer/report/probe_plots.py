"""Plots of a classifier's predictions: reliability, confusion, ROC of many classes, and AUC by number of labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.compare.records import mean_of_defined
from hage_transfer.report.plots import INK, MARKS, STYLES, Plot, add_legend, colour, draw_svg, shortened, thinned_roc
from hage_transfer.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15
FEWEST_ROWS = 5
MAX_LABELLED = 8


def reliability_plot(run: Run, predictions: pd.DataFrame) -> Plot:
    """Share of right answers by the probability of the predicted class, folds and trials pooled, one line a source.

    Bins are those of the calibration error; one that holds fewer than five rows, or 1% of them, is left out.
    """
    columns = [f"probability_{name}" for name in run.meta["classes"]]
    lines, says = {}, {}
    for source, table in predictions.groupby("source", sort=False):
        confidence = table[columns].max(axis=1).to_numpy()
        right = (table["label"] == table["predicted"]).to_numpy()
        says[str(source)] = f"{source} is right in {right.mean():.3f} and says {confidence.mean():.3f}"
        place = np.minimum((confidence * BINS).astype(int), BINS - 1)
        counts = np.bincount(place, minlength=BINS)
        kept = counts >= max(FEWEST_ROWS, 0.01 * len(table))
        sums = [
            np.bincount(place, weights=values, minlength=BINS)[kept] / counts[kept] for values in (confidence, right)
        ]
        lines[str(source)] = (sums[0], sums[1])

    def draw(axes: "Axes") -> None:
        low = 1 / len(columns)
        axes.plot([low, 1], [low, 1], ":", color="#777777", lw=1)
        for number, (source, (x, y)) in enumerate(lines.items()):
            axes.plot(
                x, y, STYLES[number % 4], marker=MARKS[number % 6], ms=4, color=colour(number), label=shortened(source)
            )
        axes.set(xlabel="Probability of the predicted class", ylabel="Share that is right", xlim=(low - 0.02, 1.02))
        axes.set_ylim(min([low, *(share for _, y in lines.values() for share in y)]) - 0.03, 1.03)
        add_legend(axes)

    errors = {source: _fold_mean(run, source, "calibration_error") for source in lines}
    known = [f"{source} {error:.3f}" for source, error in errors.items() if error is not None]
    alt = f"Reliability, folds pooled: {', '.join(says.values())} on average"
    alt += f"; calibration error {', '.join(known)}" if known else ""
    data = pd.concat(pd.DataFrame({"source": s, "probability": x, "share_right": y}) for s, (x, y) in lines.items())
    return Plot("Reliability", draw_svg(draw), alt, data)


def confusion_plot(names: Sequence[str], predictions: pd.DataFrame, source: str) -> Plot:
    """Share of each true class that is given to each class, folds and trials of one source pooled."""
    classes = [str(name) for name in names]
    table = predictions[predictions["source"] == source]
    counts = pd.crosstab(table["label"], table["predicted"]).reindex(index=classes, columns=classes, fill_value=0)
    shares = counts.to_numpy() / np.maximum(counts.to_numpy().sum(axis=1, keepdims=True), 1)
    few = len(classes) <= MAX_LABELLED

    def draw(axes: "Axes") -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        names = [shortened(name, most=18) for name in classes]
        size = 9 if few else 5.5
        axes.set_xticks(range(len(names)), names, rotation=0 if few and len(names) < 4 else 90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        for row, column in np.ndindex(*shares.shape):
            value = shares[row, column]
            if few or value >= 0.1:
                text = f"{value:.2f}" if few else f"{value:.1f}".removeprefix("0")
                ink = "white" if value > 0.55 else INK
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)
        axes.set(xlabel="Predicted", ylabel="True class")
        axes.spines[:].set_visible(False)

    alt = f"Confusion of {source}: share of each class that is recognised: "
    alt += ", ".join(f"{name} {shares[place, place]:.2f}" for place, name in enumerate(classes))
    data = pd.DataFrame(shares, classes, classes).rename_axis(index="true", columns="predicted").reset_index()
    return Plot(f"Confusion, {source}", draw_svg(draw), alt, data)


def macro_roc_plot(run: Run, predictions: pd.DataFrame) -> Plot | None:
    """Mean ROC curve of all classes, each against the rest, one a trial; None with two classes."""
    classes = [str(name) for name in run.meta["classes"]]
    if len(classes) == 2:
        return None
    grid = np.linspace(0, 1, 201)
    curves: dict[str, list[np.ndarray]] = {}
    for source, table in predictions.groupby("source", sort=False):
        for _, rows in table.groupby("trial", dropna=False, sort=False):
            found = []
            for name in set(classes) & set(rows["label"]):
                wrong, right = thinned_roc(rows["label"] == name, rows[f"probability_{name}"])
                found.append(np.interp(grid, wrong, right))
            curves.setdefault(str(source), []).append(np.mean(found, axis=0))

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], ":", color="#777777", lw=1)
        for number, (source, trials) in enumerate(curves.items()):
            for place, curve in enumerate(trials):
                label = shortened(source) if place == 0 else None
                axes.plot(grid, curve, STYLES[number % 4], color=colour(number), lw=1.4, label=label)
        axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
        add_legend(axes)

    alt = f"Mean ROC of {len(classes)} classes against the rest, folds pooled; mean AUC over folds: "
    alt += ", ".join(f"{source} {_fold_mean(run, source, 'auc') or 0:.3f}" for source in curves)
    data = pd.concat(
        pd.DataFrame({"source": s, "trial": k, "false_positive_rate": grid, "true_positive_rate": curve})
        for s, trials in curves.items()
        for k, curve in enumerate(trials)
    )
    return Plot("ROC, mean of the classes", draw_svg(draw), alt, data)


def learning_curve_plot(run: Run) -> Plot | None:
    """The main metric by the number of labels that trained, mean over folds and draws; the band is their std."""
    metric, curve = run.results.main_metric, run.meta.get("learning_curve", [])
    found = [row for row in curve if row["metric"] == metric and row["value"] is not None]
    if not found:
        return None
    table = pd.DataFrame(found)
    unit = run.meta.get("curve_unit", "row")
    lines = {
        str(source): rows.groupby("amount")
        .agg(labels=("labels", "mean"), mean=("value", "mean"), std=("value", "std"))
        .sort_values("labels")
        for source, rows in table.groupby("source", sort=False)
    }

    def draw(axes: "Axes") -> None:
        for number, (source, line) in enumerate(lines.items()):
            spread = line["std"].fillna(0.0)
            shade = colour(number)
            axes.fill_between(
                line["labels"], line["mean"] - spread, line["mean"] + spread, color=shade, alpha=0.13, lw=0
            )
            style: dict[str, Any] = {"marker": MARKS[number % 6], "ms": 4, "color": shade, "label": shortened(source)}
            axes.plot(line["labels"], line["mean"], STYLES[number % 4], **style)
        axes.set_xscale("log")
        ticks = next(iter(lines.values()))["labels"].to_numpy()
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(f"Labels to train on (whole {unit}s drawn)" if unit == "group" else "Labels to train on")
        axes.set_ylabel(METRIC_NAMES.get(metric, metric))
        add_legend(axes)

    alt = f"{metric} by amount of labels: " + "; ".join(
        f"{source} " + ", ".join(f"{amount}: {row['mean']:.3f}" for amount, row in line.iterrows())
        for source, line in lines.items()
    )
    return Plot("Few labels", draw_svg(draw), alt, pd.concat(lines, names=["source", "amount"]).reset_index())


def classifier_plots(run: Run, predictions: pd.DataFrame) -> Sequence[Plot]:
    """All of them that a run has."""
    sources = list(dict.fromkeys(predictions["source"].astype(str)))
    found = [learning_curve_plot(run), macro_roc_plot(run, predictions), reliability_plot(run, predictions)]
    return [plot for plot in found if plot is not None] + [
        confusion_plot(run.meta["classes"], predictions, name) for name in sources
    ]


def _fold_mean(run: Run, source: str, metric: str) -> float | None:
    return mean_of_defined(run.fold_values(source, metric).values())
