"""The table of controls: what a gain stands beside, control by control."""

from collections.abc import Sequence
from dataclasses import replace

from hage_transfer.compare.controls import NEEDED
from hage_transfer.compare.differences import Difference
from hage_transfer.report.cells import MISSING, Number, Table, spread
from hage_transfer.report.runs import Run
from hage_transfer.report.tables import task_title

WHAT = {
    "untrained": "the encoder before training: its form and random weights",
    "shuffled": "trained on expression shuffled over spots",
    "frozen_standardised": "frozen features, standardised by the ST spots",
    "pca": "frozen features, whitened by the ST spots",
    "expression": "expression as reduced-rank ridge predicts it",
}


def control_table(runs: Sequence[Run]) -> Table | None:
    """Each source beside each control of its run; None where no run has controls."""
    rows: list[tuple[str, ...]] = []
    for run in runs:
        for control, kind in run.controls.items():
            auc = spread(list(run.fold_values(control, "auc").values()))
            against = run.named.difference(control, run.results.baseline, "auc")
            rows += [
                (task_title(run), kind, WHAT.get(kind, kind), source, auc, _said(against), _said(less))
                for source in run.sources
                if source != run.results.baseline and source not in run.controls
                and (less := run.named.difference(source, control, "auc")) is not None
            ]  # fmt: skip
    if not rows:
        return None
    header = ("Task", "Control", "What it is", "Beside", "Its AUC", "Its AUC minus frozen's", "Source minus control")
    caption = (
        f"A gain is ascribed to genes only where the source is judged better than {' and than '.join(NEEDED)}, by the "
        "test of every verdict, and whitening or standardising does not gain as much. `expression` has seen genes: "
        "where it does as well, genes may help and HAGE adds nothing to them."
    )
    return Table(caption, header, tuple(rows), text_columns=4, title="Controls")


def naming_controls(table: Table, run: Run) -> Table:
    """A table of the run in which every control says that it is one."""
    shown = {name: run.shown(name) for name in run.controls}

    def named(cell: str) -> str:
        source, bracket, trials = cell.partition(" (")
        return f"{shown[source]}{bracket}{trials}" if source in shown else cell

    rows = [(*map(named, row[: table.text_columns]), *row[table.text_columns :]) for row in table.rows]
    return replace(table, rows=tuple(rows)) if shown else table


def _said(one: Difference | None) -> str:
    return MISSING if one is None else Number(f"{one.mean:+z.3f}, {one.verdict}", one.mean)
