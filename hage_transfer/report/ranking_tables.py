"""Tables of `hage compare`: every source's place, with its intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.report.cells import MISSING, Number, Table, mean_std
from hage_transfer.report.runs import Run

CAPTION = (
    "Mean ± standard deviation over folds, and differences paired by fold with 95% intervals. `=`: these folds cannot "
    "tell it from the leader, which was picked on them."
)


def ranking_tables(run: Run) -> tuple[Table, ...]:
    """One a task."""
    return tuple(
        Table(CAPTION, ("", *columns_of(run.meta["metric"])), tuple(_marked(run, rows)), text_columns=1, title=task)
        for task, rows in run.meta["ranking"].items()
    )


def _marked(run: Run, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The cells; a control is called one."""
    controls = run.meta.get("controls") or []
    cells = ranking_cells(rows)
    return [(f"{one} (control)" if one in controls else one, *others) for one, *others in cells]


def columns_of(metric: str) -> tuple[str, ...]:
    """Names of the columns after the source."""
    return (METRIC_NAMES.get(metric, metric), "trials", "minus the leader", "minus frozen", "against frozen")


def ranking_cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Source and cells of each row of a ranking, the leader first."""
    return [
        (
            row["source"],
            mean_std(row),
            str(row["trials"]),
            _difference(row, "from_leader") + (" =" if row["tied"] and row["from_leader"] is not None else ""),
            _difference(row, "from_baseline"),
            row["verdict"] or MISSING,
        )
        for row in rows
    ]


def _difference(row: Mapping[str, Any], name: str) -> str:
    value, interval = row[name], row[f"{name}_interval"]
    if value is None:
        return MISSING
    return Number(f"{value:+.3f}" + ("" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"), value)
