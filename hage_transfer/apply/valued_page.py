"""The page of an external validation of a target beyond classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.apply.validation_page import pairs_section, write_page
from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.compare.results import Results
from hage_transfer.report.cells import Table, number
from hage_transfer.report.layout import Section
from hage_transfer.report.value_plots import source_plots
from hage_transfer.targets.base import Target

_HEADERS = {"brier": "Brier score", "left": "still followed"}


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
    write_page(out, results, sentence, [numbers, _subgroups(meta), pairs_section(meta)])


def _numbers(meta: Mapping[str, Any]) -> Table:
    return Table(
        caption="Low and high: ends of the 95% interval, patients drawn with all of their slides; none of fewer than "
        "three patients. What censoring weighs (IPCW, AUC over time, Brier score) is by this cohort's own.",
        header=("measure", "value", "low", "high"),
        rows=tuple(
            (METRIC_NAMES.get(row["metric"], row["metric"]), *(number(row[key]) for key in ("value", "low", "high")))
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
