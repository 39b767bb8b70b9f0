"""What `hage pretrain` prints of its results: gene table, quoted numbers, differences of variants, unseen genes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from hage_transfer.cli import printed
from hage_transfer.compare.records import MEAN, STD

if TYPE_CHECKING:
    from hage_transfer.compare.results import Results

COLUMNS = {"pcc_all": "PCC all", "pcc_heg50": "PCC HEG", "mse": "MSE", "mae": "MAE"}
RETRIEVED = 10


def show_gene_table(results: "Results", console: Console) -> None:
    """Prints each method's mean and std over folds, with what the numbers depend on above them."""
    meta = results.meta
    n_folds = len(meta["folds"])
    console.print(
        f"preset {meta['preset']}, leave one {meta['split_unit']} out ({n_folds} fold{'s' * (n_folds != 1)}), "
        f"validation by {meta['validation_by']}, HEG: {meta['heg_rule']}, encoder {meta['encoder']}, "
        f"constant genes a section: {_span(list(meta['constant_genes'].values()))}",
    )
    table = printed.table("method", *COLUMNS.values(), "PCC all, 95% by patient")
    calibrated = {record.source for record in results.records if record.metric == "mse_calibrated"}
    intervals = {one["source"]: one for one in meta["intervals"] if one["metric"] == "pcc_all"}
    for source in dict.fromkeys(record.source for record in results.records if record.metric == "pcc_all"):
        cells = []
        for metric in COLUMNS:
            name = f"{metric}_calibrated" if source in calibrated and metric in ("mse", "mae") else metric
            cells.append(_over_folds(results, source, name))
        table.add_row(source, *cells, _interval(intervals.get(source)))
    console.print(table)
    if calibrated:
        console.print(
            "MSE and MAE of HAGE are of calibrated predictions; raw ones, of no scale, are in results.json",
        )
    for name, method in meta["methods"].items():
        console.print(f"{name}: {method['title']}; {method['reference']}")
    _show_learning(results, console)
    _show_unseen(results, console)
    _show_quoted(results, console)
    for warning in meta["warnings"]:
        console.print(f"note: {warning}", style="yellow")


def show_paired_differences(results: "Results", console: Console) -> None:
    """Prints each variant's differences from HAGE, trial by trial; nothing where there is no variant."""
    found = {(one["source"], one["metric"]): one for one in results.meta["differences"]}
    variants = [name for name in results.meta["variants"] if (name, "pcc_all") in found]
    if not variants:
        return
    metrics = {"pcc_all": "PCC all", "pcc_heg50": "PCC HEG"}
    table = printed.table("minus hage", *metrics.values(), "trials with more PCC all")
    for name in variants:
        first = found[name, "pcc_all"]
        cells = [_difference(found.get((name, metric))) for metric in metrics]
        table.add_row(name, *cells, f"{first['n_above']} of {first['n_pairs']}")
    console.print(table)
    console.print("mean ± std over pairs of one fold and trial; errors are in results.json")


def _show_learning(results: "Results", console: Console) -> None:
    """A line for HAGE: retrieval beside chance, and whether its attention tells genes apart."""
    share = _mean(results, "hage", f"retrieval_at_{RETRIEVED}")
    chance = _mean(results, "hage", f"retrieval_at_{RETRIEVED}_chance")
    if share is not None and chance is not None:
        console.print(f"image-to-spot retrieval@{RETRIEVED}: {share:.3f}, at chance {chance:.3f}")
    entropy, spread = (_mean(results, "hage", f"attention_{name}") for name in ("entropy", "spread"))
    if entropy is not None and spread is not None:
        console.print(
            f"attention to genes: entropy {entropy:.5f} of its most; what it adds varies over spots by {spread:.2g} of "
            "what the features vary",
        )


def _show_unseen(results: "Results", console: Console) -> None:
    folds = results.meta["zero_shot"]
    if not folds:
        return
    about = next(iter(folds.values()))
    table = printed.table(f"{_span([one['n_unseen'] for one in folds.values()])} unseen genes", "PCC")
    for source in dict.fromkeys(record.source for record in results.records if record.metric == "pcc_unseen"):
        table.add_row(source, _over_folds(results, source, "pcc_unseen"))
    console.print(table)
    console.print(f"embeddings: {about['embeddings']}")


def _show_quoted(results: "Results", console: Console) -> None:
    """The paper's own numbers of the methods that ran."""
    from hage_transfer.report.gene_tables import quoted_of, quoted_title

    rows = quoted_of(results.meta["quoted"], (record.source for record in results.records))
    if not rows:
        return
    table = printed.table("quoted from the paper", *COLUMNS.values())
    for row in rows:
        spread = row["std"] or {}
        cells = [f"{row['mean'][m]:.3f}" + (f" ± {spread[m]:.3f}" if m in spread else "") for m in COLUMNS]
        table.add_row(quoted_title(row), *cells)
    console.print(table)
    console.print(
        "quoted: UNI features, one section left out, other sections of its patient in training, errors of raw "
        "predictions; not to be compared digit by digit",
    )


def _over_folds(results: "Results", source: str, metric: str) -> str:
    found = {r.fold: r.value for r in results.select(source=source, metric=metric, trial=None, section=None)}
    mean, std = found.get(MEAN), found.get(STD)
    return "" if mean is None else f"{mean:.3f}" + (f" ± {std:.3f}" if std is not None else "")


def _mean(results: "Results", source: str, metric: str) -> float | None:
    found = results.select(source=source, metric=metric, trial=None, section=None, fold=MEAN)
    return found[0].value if found else None


def _interval(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return ""
    return f"too few patients ({one['n_groups']})" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"


def _difference(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return ""
    spread = "" if one["std"] is None else f" ± {one['std']:.4f}"
    return f"{one['mean']:+z.4f}{spread}"


def _span(values: list[int]) -> str:
    if not values:
        return "none"
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"
