"""Tables of the report, as plain cells that markdown and html both render."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hage_transfer.report.runs import BASELINE, Run
from hage_transfer.report.verdict import difference

CLASSIFIER_METRICS = {"accuracy": "Accuracy", "auc": "AUC", "recall": "Recall"}
GENE_METRICS = {
    "pcc_all": "PCC, all genes",
    "pcc_heg50": "PCC, 50 highest",
    "mse": "MSE",
    "mae": "MAE",
    "mse_calibrated": "MSE, calibrated",
    "mae_calibrated": "MAE, calibrated",
}
METHODS = {
    "hage_averaged": "HAGE, trials averaged",
    "hage": "HAGE, single trials",
    "ridge": "Ridge on the frozen features",
    "gene_mean": "Mean of each gene",
    "gene_median": "Median of each gene",
    "all_zero": "All zero",
    "spot_depth": "Spot depth alone",
}
MISSING = "–"
QUOTED_METRICS = ("pcc_all", "pcc_heg50", "mse", "mae")


@dataclass(frozen=True)
class Table:
    """A table of text cells; the first column names the row.

    Attributes:
        caption: what it shows.
        header: names of the columns.
        rows: cells.
        strong: indices of the rows that the question is about.
        text_columns: how many of the first columns hold words.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()
    text_columns: int = 1

    def markdown(self) -> str:
        """The table in markdown, caption below."""
        numbers = len(self.header) - self.text_columns
        lines = ["| " + " | ".join(self.header) + " |", "|" + " --- |" * self.text_columns + " ---: |" * numbers]
        lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in self.rows]
        return "\n".join([*lines, "", f"*{self.caption}*"])


def comparison_table(runs: Sequence[Run]) -> Table:
    """Mean and std over folds of each source of the classification runs, and the difference in AUC against frozen."""
    rows: list[tuple[str, ...]] = []
    strong: set[int] = set()
    for run in runs:
        baseline = BASELINE if BASELINE in run.sources else run.sources[0]
        for source in run.sources:
            cells = [_mean_and_std(run.fold_values(source, metric)) for metric in CLASSIFIER_METRICS]
            delta = None if source == baseline else difference(run, "auc", source, baseline)
            if delta is not None:
                strong.add(len(rows))
            name = f"{source} ({len(run.trials(source))} trials)" if run.trials(source) else source
            rows.append((_task(run), name, *cells, MISSING if delta is None else f"{delta.mean:+.3f}, {delta.verdict}"))
    header = ("Task", "Features", *CLASSIFIER_METRICS.values(), "AUC against frozen")
    caption = (
        "Mean ± standard deviation over folds of the test rows. Same folds, seeds and classifier for every source; "
        "where a source has several trials, each fold's value is the mean of its trials."
    )
    return Table(caption, header, tuple(rows), frozenset(strong), text_columns=2)


def gene_table(run: Run) -> Table:
    """Every method of a pretraining run, mean over its folds (and std where there are several)."""
    metrics = [metric for metric in GENE_METRICS if any(r.metric == metric for r in run.results.records)]
    methods = [name for name in METHODS if name in run.sources]
    methods += [source for source in run.sources if source not in METHODS]
    methods = [source for source in methods if any(run.fold_values(source, metric) for metric in metrics)]
    titles = METHODS | {name: str(about["title"]) for name, about in run.meta.get("methods", {}).items()}
    rows = [
        (titles.get(name, name), *(_mean_and_std(run.fold_values(name, metric)) for metric in metrics))
        for name in methods
    ]
    caption = (
        f"Mean{' ± standard deviation' if len(run.folds()) > 1 else ''} over held-out units. {gene_conditions(run)}"
    )
    strong = frozenset(i for i, name in enumerate(methods) if name.startswith("hage"))
    return Table(caption, ("Method", *(GENE_METRICS[metric] for metric in metrics)), tuple(rows), strong)


def quoted_table(run: Run) -> Table | None:
    """The paper's own numbers of the methods and variants that a pretraining run has; None where it has none."""
    rows = quoted_of(run.meta.get("quoted", []), run.sources)
    if not rows:
        return None
    cells = [(quoted_title(row), *(_quoted_cell(row, metric) for metric in QUOTED_METRICS)) for row in rows]
    caption = (
        "Quoted from the paper: UNI features, one section left out while others of its patient train, details "
        "unpublished. Not measured here, and not to be compared digit by digit."
    )
    header = ("Quoted", *(GENE_METRICS[metric] for metric in QUOTED_METRICS))
    return Table(caption, header, tuple(cells))


def quoted_of(rows: Sequence[Mapping[str, Any]], sources: Iterable[str]) -> list[Mapping[str, Any]]:
    """The quoted rows that measured sources stand beside: of their name, or for Table 2 of their first word."""
    names = set(sources)
    first_words = {name.split("_")[0] for name in names}
    return [row for row in rows if row["source"] in (first_words if row["table"] == 2 else names)]


def quoted_title(row: Mapping[str, Any]) -> str:
    """A quoted row's name, with the table of the paper that it is from."""
    return f"{str(row['title']).removesuffix(' (ours)')} (Table {row['table']})"


def _quoted_cell(row: Mapping[str, Any], metric: str) -> str:
    spread = (row.get("std") or {}).get(metric)
    return f"{row['mean'][metric]:.3f}" + ("" if spread is None else f" ± {spread:.3f}")


def section_table(run: Run) -> Table | None:
    """PCC over all genes of each test section, a column for each method that has any; None without such rows."""
    values = {(r.fold, r.section, r.source): r.value for r in run.section_records() if r.metric == "pcc_all"}
    places = list(dict.fromkeys((fold, section) for fold, section, _ in values))
    methods = [m for m in METHODS if any(values.get((*place, m)) is not None for place in places)]
    methods = [m for m in methods if m not in ("gene_mean", "gene_median", "all_zero")]  # constants: PCC is 0
    if not places:
        return None
    rows = tuple(
        (str(section), fold, *(_number(values.get((fold, section, method))) for method in methods))
        for fold, section in places
    )
    header = ("Section", "Held out with", *(METHODS[method] for method in methods))
    return Table(
        "PCC over all genes, within each test section. Sections are never pooled.", header, rows, text_columns=2
    )


def gene_conditions(run: Run) -> str:
    """Preset, split, rule of the highly expressed genes, panel and encoder, which every gene table must name."""
    meta = run.meta
    genes = meta.get("n_genes")
    n_genes = _span(list(genes.values())) if isinstance(genes, dict) else str(genes)
    parts = [
        ("normalisation", meta.get("preset")),
        ("held out", meta.get("split_unit")),
        ("highest genes", meta.get("heg_rule")),
        ("panel", None if genes is None else f"{n_genes} genes"),
        ("frozen encoder", meta.get("encoder")),
    ]
    return "; ".join(f"{name}: {value}" for name, value in parts if value is not None) + "."


def _task(run: Run) -> str:
    meta = run.meta
    name = {"probe": "Patches, linear probe", "mil": "Slides, AB-MIL"}.get(run.task, run.task)
    if "rows" in meta:
        name += f" ({meta['rows']:,} {'patches' if run.task == 'probe' else 'slides'})"
    return f"{name}, {run.path.name}"


def _mean_and_std(values: dict[str, float]) -> str:
    numbers = list(values.values())
    if not numbers:
        return MISSING
    if len(numbers) == 1:
        return f"{numbers[0]:.3f}"
    return f"{np.mean(numbers):.3f} ± {np.std(numbers, ddof=1):.3f}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _span(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"
