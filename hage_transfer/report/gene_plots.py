"""Plots of a pretraining run: methods, variants, and training curves beside their values at chance."""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hage_transfer.report.gene_tables import AVERAGED, CONSTANTS, METHODS, method_titles, variants_of
from hage_transfer.report.plots import INK, PANEL_INCHES, Plot, colour, draw_svg, shortened
from hage_transfer.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_INCHES, _AROUND_INCHES = 0.27, 0.8
_TERMS = {
    "validation/pcc": "Validation PCC",
    "val/pcc": "Validation PCC",
    "train/cyclip": "CyCLIP loss",
    "train/clip_local": "CLIP loss, pairs",
    "train/clip_global": "CLIP loss, centroids",
    "train/pcc": "PCC loss",
    "train/total": "All losses",
    "train/loss": "All losses",
}


def gene_plot(run: Run) -> Plot:
    """PCC over all genes of every method (trials averaged where they are): a bar, and a dot for each test section."""
    variants, titles = variants_of(run), method_titles(run)
    known = [m for m in METHODS if m in run.sources and m not in CONSTANTS]
    others = [s for s in run.sources if s not in METHODS and s.removesuffix(AVERAGED) not in variants]
    methods = [*known, *(s for s in others if s.endswith(AVERAGED) or f"{s}{AVERAGED}" not in run.sources)]
    methods = [m for m in methods if run.fold_values(m, "pcc_all")]
    means = {m: mean(run.fold_values(m, "pcc_all").values()) for m in methods}
    methods.sort(key=lambda m: -means[m])
    sections = {
        m: [r.value for r in run.section_records() if r.source == m and r.metric == "pcc_all" and r.value is not None]
        for m in methods
    }

    def draw(axes: "Axes") -> None:
        places = np.arange(len(methods))
        shades = [colour(1 if m.startswith("hage") else 0) for m in methods]
        hatches = ["//" if m.startswith("hage") else "" for m in methods]
        widths = [means[m] for m in methods]
        axes.barh(places, widths, color=shades, hatch=hatches, edgecolor="white", alpha=0.9, height=0.7)
        for place, method in zip(places, methods, strict=True):
            axes.plot(sections[method], [place] * len(sections[method]), "o", ms=3, color=INK, alpha=0.7)
        axes.set_yticks(places, [_short_title(titles.get(m, m)) for m in methods], fontsize=7.5)
        axes.invert_yaxis()
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_xlabel("PCC")

    alt = "PCC over all genes: " + ", ".join(f"{titles.get(m, m)} {means[m]:.3f}" for m in methods)
    drawn = [
        (titles.get(r.source, r.source), r.fold, r.section, r.value)
        for r in run.section_records()
        if r.source in methods and r.metric == "pcc_all"
    ]
    data = pd.DataFrame(drawn, columns=["method", "fold", "section", "pcc"])
    height = max(PANEL_INCHES[1], _AROUND_INCHES + _ROW_INCHES * len(methods))
    return Plot("Genes from the image", draw_svg(draw, inches=(PANEL_INCHES[0], height)), alt, data)


def variant_plot(run: Run) -> Plot | None:
    """Each variant minus HAGE in PCC, a dot for each pair of one fold and trial; None in a run without variants."""
    pairs = {name: found for name in variants_of(run) if (found := _pairs(run, name))}
    if not pairs:
        return None

    def draw(axes: "Axes") -> None:
        for place, found in enumerate(pairs.values()):
            axes.plot(found, [place] * len(found), "o", ms=3.2, color=INK, alpha=0.5)
            axes.plot([mean(found)], [place], "D", ms=6, color=colour(0))
        axes.set_yticks(range(len(pairs)), [shortened(name, most=22) for name in pairs], fontsize=7.5)
        axes.invert_yaxis()
        axes.axvline(0, color=INK, lw=0.9)
        axes.margins(y=0.12)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel("PCC minus HAGE's, same fold and trial")

    alt = "PCC minus HAGE's, mean over pairs: " + ", ".join(f"{name} {mean(v):+z.4f}" for name, v in pairs.items())
    data = pd.DataFrame(
        [(name, v) for name, found in pairs.items() for v in found], columns=["variant", "pcc_minus_hage"]
    )
    height = max(PANEL_INCHES[1] - 0.6, _AROUND_INCHES + _ROW_INCHES * len(pairs))
    return Plot("Variants minus HAGE", draw_svg(draw, inches=(PANEL_INCHES[0], height)), alt, data)


def curve_plots(curves: pd.DataFrame) -> list[Plot]:
    """A panel for each logged term: faint lines are trials, the thick one their mean, dashes the value at chance."""
    chance = set(curves["term"][curves["term"].str.endswith("_chance")])
    return [
        _curve_plot(curves, term, f"{term}_chance" if f"{term}_chance" in chance else None)
        for term in dict.fromkeys(curves["term"])
        if term not in chance
    ]


def _curve_plot(curves: pd.DataFrame, term: str, chance: str | None) -> Plot:
    table = curves[curves["term"] == term]
    middle = table.groupby("epoch")["value"].mean()
    at_chance = None if chance is None else curves[curves["term"] == chance].groupby("epoch")["value"].mean()

    def draw(axes: "Axes") -> None:
        for _, trial in table.groupby(["fold", "trial"]):
            axes.plot(trial["epoch"] + 1, trial["value"], "-", color=colour(0), lw=0.7, alpha=0.3)
        axes.plot(middle.index + 1, middle.to_numpy(), "-", color=colour(0), lw=2.2, label="mean of trials")
        if at_chance is not None:
            axes.plot(at_chance.index + 1, at_chance.to_numpy(), "--", color=colour(1), lw=1.6, label="at chance")
            axes.legend(frameon=False)
        axes.set_xlabel("Epoch")

    title = _TERMS.get(term, term)
    alt = f"{title} over epochs: from {middle.iloc[0]:.3f} to {middle.iloc[-1]:.3f}, mean of trials"
    alt += "" if at_chance is None else f"; at chance {at_chance.iloc[-1]:.3f}"
    return Plot(title, draw_svg(draw), alt, table)


def _pairs(run: Run, source: str) -> Sequence[float]:
    found = []
    for trial in run.trials(source):
        base = run.fold_values("hage", "pcc_all", trial=trial)
        own = run.fold_values(source, "pcc_all", trial=trial)
        found += [value - base[fold] for fold, value in own.items() if fold in base]
    return found


def _short_title(title: str) -> str:
    title = (
        title.replace(", trials averaged", "")
        .replace(" (feature-level head)", "")
        .replace(" on the frozen features", "")
        .replace(" with the neighbours' features", ", neighbours")
    )
    return title.replace("HAGE, single trials", "HAGE, one trial").replace("$", r"\$")
