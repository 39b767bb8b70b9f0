"""Plots of a target that is no class: Kaplan-Meier curves of risk groups, scatter of numbers, confusion of grades."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hage_transfer.report.plots import INK, Plot, colour, draw_svg, shortened
from hage_transfer.report.probe_plots import confusion_plot, learning_curve_plot
from hage_transfer.report.runs import Run
from hage_transfer.targets.base import Target
from hage_transfer.targets.make import target_of
from hage_transfer.targets.ordinal import Ordinal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (4.2, 3.6)
_TICKS = 5
_MOST_DOTS = 1500


def value_plots(run: Run, predictions: pd.DataFrame) -> list[Plot]:
    """One a source, behind the curve of few labels where there is one."""
    target, curve = target_of(run.meta["target"]), learning_curve_plot(run)
    plots = [] if target is None else source_plots(target, predictions)
    return plots if curve is None else [curve, *plots]


def source_plots(target: Target, predictions: pd.DataFrame) -> list[Plot]:
    """One a source; none of several labels."""
    found = []
    for name in dict.fromkeys(predictions["source"].astype(str)):
        rows = predictions[predictions["source"] == name]
        if isinstance(target, Ordinal):
            found.append(confusion_plot(target.grades, predictions, name))
        elif target.kind == "survival":
            found.append(survival_plot(name, by_slide(rows)))
        elif target.kind == "regression":
            found.append(scatter_plot(name, by_slide(rows.assign(label=rows["label"].astype(float)))))
    return found


def by_slide(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores of a source with trials averaged, a row a slide or patch."""
    key = "slide" if "slide" in rows else "key"
    return rows.drop(columns="trial").groupby(["fold", key], sort=False).mean(numeric_only=True).reset_index()


def survival_plot(source: str, rows: pd.DataFrame) -> Plot:
    """Kaplan-Meier curves of the slides above and below the median risk of their own fold, with numbers at risk."""
    from sksurv.compare import compare_survival
    from sksurv.nonparametric import kaplan_meier_estimator
    from sksurv.util import Surv

    high = (rows["risk"] > rows.groupby("fold")["risk"].transform("median")).to_numpy()
    time, event = rows["time"].to_numpy(float), rows["event"].to_numpy(float) > 0
    groups = {"low risk": ~high, "high risk": high}
    p_value = float(compare_survival(Surv.from_arrays(event, time), high)[1]) if 0 < high.sum() < len(high) else 1.0
    curves = {}
    for name, chosen in groups.items():
        x, y, band = kaplan_meier_estimator(event[chosen], time[chosen], conf_type="log-log")
        curves[name] = (np.r_[0, x], np.r_[1, y], np.c_[[1, 1], band])
    ticks = np.linspace(0, np.quantile(time, 0.95), _TICKS)
    left = {name: [int((time[chosen] >= tick).sum()) for tick in ticks] for name, chosen in groups.items()}

    def draw(axes: "Axes") -> None:
        for place, (name, (x, y, (low, top))) in enumerate(curves.items()):
            axes.fill_between(x, low, top, step="post", color=colour(place), alpha=0.13, lw=0)
            axes.step(x, y, where="post", color=colour(place), ls=("-", "--")[place], lw=1.6, label=name)
            gone = (time[groups[name]])[~event[groups[name]]]
            axes.plot(gone, y[np.searchsorted(x, gone, side="right") - 1], "|", color=colour(place), ms=4, alpha=0.6)
        axes.set(xlim=(0, ticks[-1]), ylim=(-0.01, 1.02), ylabel="Share without an event")
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.legend(loc="upper right", frameon=False, title=f"log-rank p {_p(p_value)}")
        for place, (name, counts) in enumerate(left.items()):
            for tick, count in zip(ticks, counts, strict=True):
                where = (tick, -0.27 - 0.09 * place)
                axes.annotate(
                    str(count), where, xycoords=("data", "axes fraction"), ha="center", fontsize=8, color=colour(place)
                )
            where = (-0.07, -0.27 - 0.09 * place)
            axes.annotate(name, where, xycoords="axes fraction", ha="right", fontsize=8, color=colour(place))
        axes.set_xlabel("Time (below: how many are at risk)")

    data = pd.concat(
        pd.DataFrame({"group": name, "time": x, "survival": y, "low": low, "high": top})
        for name, (x, y, (low, top)) in curves.items()
    )
    at_risk = "; ".join(f"{name} {', '.join(map(str, counts))}" for name, counts in left.items())
    alt = (
        f"Kaplan-Meier curves of {source}, above and below the median risk of each fold; log-rank p "
        f"{_p(p_value)}; at risk at times {', '.join(f'{tick:.3g}' for tick in ticks)}: {at_risk}"
    )
    return Plot(f"Survival by risk, {shortened(source)}", draw_svg(draw, inches=_INCHES), alt, data)


def scatter_plot(source: str, rows: pd.DataFrame) -> Plot:
    """Predicted number by the true one; the line is where they agree."""
    true, said = rows["label"].to_numpy(), rows["predicted"].to_numpy()
    shown = np.random.default_rng(0).permutation(len(true))[:_MOST_DOTS]
    ends = [min(true.min(), said.min()), max(true.max(), said.max())]

    def draw(axes: "Axes") -> None:
        axes.plot(ends, ends, ":", color="#777777", lw=1)
        axes.plot(true[shown], said[shown], "o", ms=2.6, color=colour(0), alpha=0.5, mec="none")
        slope, start = np.polyfit(true, said, 1)
        axes.plot(ends, [slope * end + start for end in ends], "-", color=INK, lw=1)
        axes.set(xlabel="True", ylabel="Predicted")

    alt = f"Predicted against true of {source}, {len(true)} rows of all folds; dotted: equal; line: least squares"
    return Plot(f"Predicted and true, {shortened(source)}", draw_svg(draw), alt, rows[["fold", "label", "predicted"]])


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
