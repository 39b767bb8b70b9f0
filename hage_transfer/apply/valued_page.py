"""The page of an external validation of a target beyond classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.apply.validation_page import NAMES, pairs_section, reliability_plot, write_page
from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.compare.results import Results
from hage_transfer.report.cells import Table, number
from hage_transfer.report.layout import Section
from hage_transfer.report.value_plots import source_plots
from hage_transfer.targets.base import Target

_HEADERS = {"brier": "Brier score", "left": "still followed", "predicted": "survive, predicted", "observed": "observed"}
_NAMES = METRIC_NAMES | {
    **{name: NAMES[name] for name in ("slope", "intercept", "calibration_error", "calibration_error_raw")},
    "observed_to_expected": "Events observed over expected (1 is right)",
}
_MOST_PLOTS = 6
_SAID = {
    "regression": "Slope and intercept are those of the true number by the predicted one (least squares); below a "
    "slope of 1 predictions lie further apart than the truth. `calibrated` in `scores.csv` is by the line of the "
    "training cohort's out-of-fold predictions.",
    "survival": "Slope: log hazard by the predicted one; below 1 predictions lie further apart than the truth. It and "
    "the events are of the middle horizon, observed survival is Kaplan and Meier's; patients are grouped by what was "
    "predicted.",
}
_CURVES = "Fitted probabilities are the raw ones by curves through the training cohort's out-of-fold scores."


def write_values(out: Path, results: Results, source: str, target: Target, predictions: pd.DataFrame) -> None:
    """Writes the validation; ``predictions`` are the units with their truth, as `predictions.csv` has them."""
    meta, main = results.meta, results.meta["intervals"][0]
    name = METRIC_NAMES.get(main["metric"], main["metric"])
    interval = "" if main["low"] is None else f" (95% by patient {main['low']:.3f} to {main['high']:.3f})"
    value = "not defined" if main["value"] is None else f"{main['value']:.3f}"
    sentence = f"{source}: {name} {value}{interval} over {meta['rows']} {meta['units']} of {meta['groups']} patients."
    numbers = Section(
        title="What it is worth",
        anchor="numbers",
        tables=(
            _numbers(meta),
            _cohorts(meta),
            *_by(meta, "horizons", "horizon"),
            *_by(meta, "per_label", "label"),
        ),
        plots=tuple(source_plots(target, predictions)),
    )
    write_page(out, results, sentence, [numbers, _calibration(meta, target), _subgroups(meta), pairs_section(meta)])


def _calibration(meta: Mapping[str, Any], target: Target) -> Section:
    """What was predicted beside what was seen."""
    plots, rows = [], meta["reliability"]
    if target.kind == "survival" and rows:
        points = [(row["predicted"], row["observed"], row["rows"]) for row in rows]
        title, names = f"Survival to {rows[0]['time']:g}", ("predicted", "observed")
        alt = f"Observed by predicted share without an event by {rows[0]['time']:g}; the numbers are patients."
        plots = [reliability_plot(points, title=title, axes_names=names, alt=alt)]
    for label in list(dict.fromkeys(row["label"] for row in rows if "label" in row))[:_MOST_PLOTS]:
        points = [(row["probability"], row["share"], row["rows"]) for row in rows if row["label"] == label]
        names, alt = ("fitted probability", "share"), f"Share of {label} by its fitted probability, in ten bins."
        plots.append(reliability_plot(points, title=f"Reliability, {label}", axes_names=names, alt=alt))
    text = _SAID.get(target.kind, _CURVES if meta["calibration"] else "The classifier directory has no calibration.")
    return Section(title="Can it be believed", anchor="calibration", text=(text,), plots=tuple(plots))


def _numbers(meta: Mapping[str, Any]) -> Table:
    return Table(
        caption="Low and high: ends of the 95% interval, patients drawn with all of their slides; none of fewer than "
        "three patients. What censoring weighs (IPCW, AUC over time, Brier score) is by this cohort's own.",
        header=("measure", "value", "low", "high"),
        rows=tuple(
            (_NAMES.get(row["metric"], row["metric"]), *(number(row[key]) for key in ("value", "low", "high")))
            for row in meta["intervals"]
        ),
        title="Numbers",
    )


def _cohorts(meta: Mapping[str, Any]) -> Table:
    names = list(dict.fromkeys([*meta["here"], *meta["in_training"]]))
    return Table(
        caption="What is to be predicted, here and in training.",
        header=("", "here", "in training"),
        rows=tuple((name, *(number(meta[key].get(name), ".4g") for key in ("here", "in_training"))) for name in names),
        title="Cohorts",
    )


def _by(meta: Mapping[str, Any], key: str, what: str) -> list[Table]:
    rows = [{name: one for name, one in row.items() if name not in ("source", "trial", "fold")} for row in meta[key]]
    if not rows:
        return []
    cells = tuple(tuple(_cell(name, one) for name, one in row.items()) for row in rows)
    header = tuple(_HEADERS.get(name, METRIC_NAMES.get(name, name)) for name in rows[0])
    return [Table(caption=f"The same units, by {what}.", header=header, rows=cells, title=f"By {what}")]


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str | int):
        return str(value)
    return number(value, ".4g" if name == "time" else ".3f")


def _subgroups(meta: Mapping[str, Any]) -> Section | None:
    rows = meta["subgroups"]
    if not rows:
        return None
    main = meta["metrics"][0]
    names = (main, f"{main}_low", f"{main}_high", *meta["metrics"][1:])
    shown = [METRIC_NAMES.get(main, main), "low", "high", *(METRIC_NAMES.get(one, one) for one in names[3:])]
    table = Table(
        caption="Low and high: ends of the 95% interval of the first measure, by patient.",
        header=("column", "value", meta["units"], "patients", *shown),
        rows=tuple(
            (row["column"], row["value"], str(row["rows"]), str(row["groups"]), *(number(row[one]) for one in names))
            for row in rows
        ),
        text_columns=2,
    )
    return Section(title="Subgroups", anchor="subgroups", tables=(table,))
