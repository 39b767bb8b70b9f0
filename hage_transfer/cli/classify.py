"""What `hage probe` and `hage mil` have in common on the command line: the table they end with."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hage_transfer.results import Results

COLUMNS = {"accuracy": "accuracy", "auc": "AUC", "recall": "recall"}


def show_table(results: "Results", console: Console) -> None:
    """Prints each source's mean and std over folds; several trials are averaged within each fold first."""
    from hage_transfer.results import MEAN, STD

    meta = results.meta
    counts = ", ".join(f"{number} {name}" for name, number in meta["class_counts"].items())
    positive = f"positive class {meta['positive']}" if meta["positive"] else "AUC and recall are means over classes"
    folds_by = f"kept together by group ({meta['groups']})" if meta["folds_by"] == "group" else "stratified by row"
    folds = {record.fold for record in results.records} - {MEAN, STD}
    console.print(
        f"{meta['rows']} rows ({counts}), {len(folds)} folds {folds_by}, {positive}", markup=False, soft_wrap=True
    )
    table = Table("source", "trials", *COLUMNS.values(), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for source in dict.fromkeys(record.source for record in results.records):
        trials = {record.trial for record in results.select(source=source)} - {None}
        cells = []
        for metric in COLUMNS:
            found = {r.fold: r.value for r in results.select(source=source, metric=metric, trial=None)}
            mean, std = found.get(MEAN), found.get(STD)
            cells.append(
                "not defined" if mean is None else f"{mean:.3f}" + (f" ± {std:.3f}" if std is not None else "")
            )
        table.add_row(source, str(max(len(trials), 1)), *cells)
    console.print(table)


def show_differences(run: Path, console: Console) -> None:
    """Prints how each other source differs from the first in AUC, fold by fold, in a sentence with its uncertainty."""
    from hage_transfer.report.runs import read_run
    from hage_transfer.report.verdict import differences

    for difference in differences(read_run(run), "auc"):
        console.print(difference.sentence(), markup=False, soft_wrap=True)
