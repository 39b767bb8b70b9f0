"""The page of an external validation, and its tables: `report.html`, `report.md`, csv files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.compare.results import Results
from hage_transfer.compare.value_scoring import write_rows
from hage_transfer.report.answer import Answer
from hage_transfer.report.cells import Table, number
from hage_transfer.report.html import render_html
from hage_transfer.report.layout import Page, Section
from hage_transfer.report.markdown import render_markdown
from hage_transfer.report.plots import Plot, draw_svg
from hage_transfer.report.reproduction import reproduction_of
from hage_transfer.report.runs import Run
from hage_transfer.running.atomic import write_text
from hage_transfer.running.run_directory import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    "auc": "AUC",
    "accuracy": "Accuracy at the threshold",
    "recall": "Recall",
    "sensitivity": "Sensitivity at the threshold",
    "specificity": "Specificity at the threshold",
    "slope": "Calibration slope (1 is right)",
    "intercept": "Calibration intercept (0 is right)",
    "calibration_error": "Calibration error of the fitted probabilities",
    "calibration_error_raw": "Calibration error of the raw probabilities",
}
_CURVES = {"platt": "Platt's curve", "isotonic": "an isotonic curve"}
_POINTS = {"youden": "highest sensitivity + specificity (Youden)"}
TABLES = ("intervals", "subgroups", "reliability", "decision_curve", "pairs", "horizons", "per_label")


@dataclass(frozen=True)
class _OnNewPatients(Answer):
    """What the page says first."""

    @property
    def headline(self) -> str:
        """No verdict: there is nothing to compare with."""
        return "On new patients"


def write_validation(out: Path, results: Results, source: str) -> None:
    """Writes the validation of a classifier of classes; see ``write_page``."""
    meta = results.meta
    found = {row["metric"]: row for row in meta["intervals"]}
    auc = found["auc"]
    interval = "" if auc["low"] is None else f" (95% by patient {auc['low']:.3f} to {auc['high']:.3f})"
    value = "not defined" if auc["value"] is None else f"{auc['value']:.3f}"
    sentence = f"{source}: AUC {value}{interval} over {meta['rows']} {meta['units']} of {meta['groups']} patients."
    sections = [_numbers(meta), _calibration(meta), _subgroups(meta), pairs_section(meta)]
    write_page(out, results, sentence, sections)


def forget_validation(out: Path) -> None:
    """Removes what an earlier validation left: its scores or threshold may be others."""
    for name in (RESULTS_FILE, "report.md", "report.html", *(f"{table}.csv" for table in TABLES)):
        (out / name).unlink(missing_ok=True)


def write_page(out: Path, results: Results, sentence: str, sections: Sequence[Section | None]) -> None:
    """Writes ``results.json``, a csv of every table that has rows, and the page that says ``sentence`` first."""
    results.save(out / RESULTS_FILE)
    for name in TABLES:
        write_rows(out / f"{name}.csv", results.meta.get(name, []))
    environment = json.loads((out / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    run = Run(out, "apply", results, (out / CONFIG_FILE).read_text(encoding="utf-8"), environment)
    page = Page(
        title="External validation",
        question="What is the classifier worth on patients of another place?",
        answer=_OnNewPatients("not judged", sentence, ()),
        sections=tuple(section for section in sections if section is not None),
        warnings=tuple(results.meta["warnings"]),
        reproduction=(reproduction_of(run),),
    )
    write_text(out / "report.md", render_markdown(page))
    write_text(out / "report.html", render_html(page))


def _numbers(meta: Mapping[str, Any]) -> Section:
    rows = [
        (NAMES[row["metric"]], *(number(row[key]) for key in ("value", "low", "high")))
        for row in meta["intervals"]
        if row["metric"] != "recall" or meta["positive"] is None  # else it is the sensitivity
    ]
    threshold = "" if meta["threshold"] is None else f", {meta['positive']} from {meta['threshold']:.3g} on"
    point = _POINTS.get(meta["operating_point"], meta["operating_point"])
    table = Table(
        caption=f"Operating point: {point}{threshold}, set by the training cohort's out-of-fold scores. Low and high: "
        "ends of the 95% interval, patients drawn with all of their slides; none of fewer than three "
        "patients, or of patients that are all alike.",
        header=("measure", "value", "low", "high"),
        rows=tuple(rows),
        title="Numbers",
    )
    total, trained = sum(meta["class_counts"].values()), sum(meta["training_counts"].values())
    labels = [
        (name, str(count), number(count / total, ".1%"), str(before), number(before / trained, ".1%"))
        for name, count in meta["class_counts"].items()
        for before in [meta["training_counts"].get(name, 0)]
    ]
    shares = Table(
        caption="How the labels are distributed here and in training.",
        header=("label", "here", "share", "in training", "share"),
        rows=tuple(labels),
        title="Labels",
    )
    return Section(title="What it is worth", anchor="numbers", tables=(table, shares))


def _calibration(meta: Mapping[str, Any]) -> Section:
    bins, curve = meta["reliability"], meta["decision_curve"]
    points = [(one["probability"], one["share"], one["rows"]) for one in bins]
    plots = [reliability_plot(points)] + ([_decision_plot(curve)] if curve else [])
    curve_name = _CURVES.get(meta["calibration"], meta["calibration"])
    text = f"Fitted probabilities are the raw ones by {curve_name} through the training cohort's out-of-fold scores."
    return Section(title="Can its probabilities be believed", anchor="calibration", text=(text,), plots=tuple(plots))


def reliability_plot(
    points: Sequence[tuple[float, float, int]],
    *,
    title: str = "Reliability",
    axes_names: tuple[str, str] = ("fitted probability", "share of positives"),
    alt: str = "Share of positives by the fitted probability, in ten bins; the numbers are units. On the dotted line "
    "both agree.",
) -> Plot:
    """What was said, what was seen, and of how many, as dots of a square from 0 to 1."""

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], ":", color="#777777", lw=1)
        said, seen, numbers = zip(*points, strict=True)
        axes.plot(said, seen, "-o", color="#0072B2", ms=4)
        for place in zip(said, seen, numbers, strict=True):
            axes.annotate(str(place[2]), place[:2], (3, -9), textcoords="offset points", fontsize=7)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=axes_names[0], ylabel=axes_names[1])

    return Plot(title, draw_svg(draw), alt)


def _decision_plot(curve: Sequence[Mapping[str, Any]]) -> Plot:
    def draw(axes: "Axes") -> None:
        places = [one["threshold"] for one in curve]
        axes.plot(places, [one["classifier"] for one in curve], color="#0072B2", label="classifier")
        axes.plot(places, [one["all"] for one in curve], "--", color="#D55E00", label="act on all")
        axes.axhline(0, color="#777777", lw=1, ls=":", label="act on none")
        top = max(one["classifier"] for one in curve)
        axes.set(
            ylim=(-0.15 * max(top, 0.05), 1.25 * max(top, 0.05)), xlabel="threshold probability", ylabel="net benefit"
        )
        axes.legend(frameon=False, fontsize=8)

    return Plot("Decision curve", draw_svg(draw), "Net benefit of acting from each probability on, of all and of none.")


def _subgroups(meta: Mapping[str, Any]) -> Section | None:
    rows = meta["subgroups"]
    if not rows:
        return None
    shown = ("auc", "auc_low", "auc_high", "accuracy", "sensitivity", "specificity")
    table = Table(
        caption="AUC with the ends of its 95% interval by patient; the other columns at the same threshold as above.",
        header=(
            "column",
            "value",
            "slides",
            "patients",
            "AUC",
            "low",
            "high",
            "accuracy",
            "sensitivity",
            "specificity",
        ),
        rows=tuple(
            (row["column"], row["value"], str(row["rows"]), str(row["groups"]), *(number(row[name]) for name in shown))
            for row in rows
        ),
        text_columns=2,
    )
    return Section(title="Subgroups", anchor="subgroups", tables=(table,))


def pairs_section(meta: Mapping[str, Any]) -> Section | None:
    """Differences from other applications; None where there are none."""
    rows = meta.get("pairs", [])
    if not rows:
        return None
    table = Table(
        caption="The first minus the second on the same slides; intervals: 95%, by patient.",
        header=("classifier", "against", "metric", "difference", "low", "high"),
        rows=tuple(
            (
                row["source"],
                row["against"],
                METRIC_NAMES.get(row["metric"], row["metric"]),
                *(number(row[key], "+z.3f") for key in ("difference", "low", "high")),
            )
            for row in rows
        ),
        text_columns=3,
    )
    return Section(title="Against other classifiers", anchor="pairs", tables=(table,))
