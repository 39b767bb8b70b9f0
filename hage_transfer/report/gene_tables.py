"""Tables 1 to 3 of the paper as far as a pretraining run has them: measured numbers beside the paper's own."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from hage_transfer.report.cells import MISSING, Number, Table, mean_std, number, spread
from hage_transfer.report.runs import Run
from hage_transfer.report.tables import better_of

GENE_METRICS = {
    "pcc_all": "PCC, all genes",
    "pcc_heg50": "PCC, 50 highest (HEG)",
    "mse": "MSE",
    "mae": "MAE",
    "mse_calibrated": "MSE, calibrated",
    "mae_calibrated": "MAE, calibrated",
}
METHODS = {
    "hage_averaged": "HAGE, trials averaged",
    "hage": "HAGE, single trials",
    "shuffled_averaged": "Control: HAGE on shuffled expression, trials averaged",
    "shuffled": "Control: HAGE on shuffled expression, single trials",
    "ridge": "Ridge on the frozen features",
    "reduced_rank_ridge": "Reduced-rank ridge on the frozen features",
    "bagged_ridge_averaged": "Ridge on each trial's spots, averaged",
    "bagged_ridge": "Ridge on each trial's spots, single",
    "bagged_reduced_rank_ridge_averaged": "Reduced-rank ridge on each trial's spots, averaged",
    "bagged_reduced_rank_ridge": "Reduced-rank ridge on each trial's spots, single",
    "kernel_ridge": "Kernel ridge on the frozen features",
    "ridge_context": "Ridge with the neighbours' features",
    "reduced_rank_ridge_context": "Reduced-rank ridge with the neighbours' features",
    "gene_mean": "Mean of each gene",
    "gene_median": "Median of each gene",
    "all_zero": "All zero",
    "spot_depth": "Spot depth alone",
}
CONSTANTS = ("gene_mean", "gene_median", "all_zero")
QUOTED_METRICS = ("pcc_all", "pcc_heg50", "mse", "mae")
AVERAGED = "_averaged"
_CLUSTERS = frozenset({"clusters.k1", "clusters.k2"})


def method_titles(run: Run) -> dict[str, str]:
    """How the page calls each source of a run; a method's or variant's averaged trials say so."""
    about = run.meta.get("methods") or {}
    titles = METHODS | {name: str(one.get("title", name)) for name, one in about.items()}
    titles |= {name: variant_title(name, changes) for name, changes in variants_of(run).items()}
    own = dict(titles)
    for name, title in own.items():
        titles.setdefault(f"{name}{AVERAGED}", f"{title}, trials averaged")
    return titles


def variants_of(run: Run) -> dict[str, dict[str, Any]]:
    """Settings that each variant changes, by its name."""
    return {str(name): dict(changes) for name, changes in (run.meta.get("variants") or {}).items()}


def variant_title(name: str, changes: Mapping[str, Any]) -> str:
    """A variant's name with what it changes."""
    return f"{name} ({', '.join(f'{key}={value}' for key, value in changes.items())})"


def gene_table(run: Run) -> Table:
    """Table 1: every method of a pretraining run, mean over its folds (and std where there are several)."""
    variants = variants_of(run)
    methods = [name for name in METHODS if name in run.sources]
    methods += [s for s in run.sources if s not in METHODS and s.removesuffix(AVERAGED) not in variants]
    caption = (
        f"Mean{' ± standard deviation' if len(run.folds()) > 1 else ''} over held-out units. {gene_conditions(run)}"
    )
    metrics, titles = _shown(run), method_titles(run)
    methods = [source for source in methods if any(run.fold_values(source, metric) for metric in metrics)]
    rows = tuple((titles.get(name, name), *_scores(run, name)) for name in methods)
    strong = frozenset(i for i, name in enumerate(methods) if name == _better(run, methods))
    caption += " Marked: the better of HAGE and the best other method in PCC, where they are told apart."
    header = ("Method", *(GENE_METRICS[metric] for metric in metrics))
    return Table(caption, header, rows, strong=strong, title="Methods (the paper's Table 1)")


def _better(run: Run, methods: Sequence[str]) -> str | None:
    """HAGE, single trials, or the other method of most PCC: the better one where more than noise tells them apart."""
    found = {name: mean(values) for name in methods if (values := run.fold_values(name, "pcc_all").values())}
    others = [name for name in found if not name.startswith("hage")]
    if "hage" not in found or not others:
        return None
    delta = run.named.difference("hage", max(others, key=found.__getitem__), "pcc_all")
    return None if delta is None else better_of([delta])


def variant_table(run: Run) -> Table | None:
    """Table 2: each variant beside HAGE, trials paired by fold, split and seed; None in a run without variants."""
    variants = {name: changes for name, changes in variants_of(run).items() if set(changes) != _CLUSTERS}
    if not variants:
        return None
    deltas = {
        (one["source"], one["metric"]): one
        for one in run.meta.get("differences") or []
        if one.get("baseline") == "hage"
    }
    metrics = [m for m in _shown(run) if f"{m}_calibrated" not in _shown(run)]  # raw errors have no scale
    rows = [("hage, as configured", *_scores(run, "hage", metrics), MISSING, MISSING)]
    for name, changes in variants.items():
        delta = deltas.get((name, "pcc_all"))
        above = MISSING if delta is None else Number(f"{delta['n_above']} of {delta['n_pairs']}", delta["n_above"])
        rows.append((variant_title(name, changes), *_scores(run, name, metrics), _signed(delta), above))
    header = ("Variant", *(GENE_METRICS[m] for m in metrics), "PCC minus HAGE's", "Pairs above")
    caption = (
        "Single trials, mean over held-out units. Minus HAGE's: mean ± standard deviation over pairs of one fold and "
        "trial, which share validation split and seed; pairs of a fold share their test spots, so no test is made."
    )
    return Table(caption, header, tuple(rows), title="Variants (the paper's Table 2)")


def cluster_table(run: Run) -> Table | None:
    """Table 3: the grid over k1 and k2; None in a run without cluster variants."""
    grid = {name: changes for name, changes in variants_of(run).items() if set(changes) == _CLUSTERS}
    if len(grid) < 2:
        return None
    ordered = sorted(grid.items(), key=lambda one: (one[1]["clusters.k2"], one[1]["clusters.k1"]))
    rows = [(number(c["clusters.k2"], "d"), number(c["clusters.k1"], "d"), *_scores(run, name)) for name, c in ordered]
    rows.append(("as configured", MISSING, *_scores(run, "hage")))
    header = ("k2", "k1", *(GENE_METRICS[m] for m in _shown(run)))
    caption = "Clusters of the alignment: k1 of expression, k2 of features inside each. Single trials, mean over folds."
    return Table(caption, header, tuple(rows), title="Clusters (the paper's Table 3)")


def quoted_table(run: Run) -> Table | None:
    """The paper's own numbers of the methods and variants that a pretraining run has; None where it has none."""
    rows = quoted_of(run.meta.get("quoted") or [], run.sources)
    if not rows:
        return None
    cells = [(quoted_title(row), *(_quoted_cell(row, metric) for metric in QUOTED_METRICS)) for row in rows]
    caption = (
        "Quoted from the paper: UNI features, one section left out while others of its patient train, details "
        "unpublished. Not measured here, and not to be compared digit by digit."
    )
    header = ("Quoted", *(GENE_METRICS[metric] for metric in QUOTED_METRICS))
    return Table(caption, header, tuple(cells), title="The paper's own numbers", folded=True)


def quoted_of(rows: Sequence[Mapping[str, Any]], sources: Iterable[str]) -> list[Mapping[str, Any]]:
    """The quoted rows that measured sources stand beside: of their name, or for Table 2 of their first word."""
    names = set(sources)
    first_words = {name.split("_")[0] for name in names}
    return [row for row in rows if row["source"] in (first_words if row["table"] == 2 else names)]


def quoted_title(row: Mapping[str, Any]) -> str:
    """A quoted row's name, with the table of the paper that it is from."""
    return f"{str(row['title']).removesuffix(' (ours)')} (Table {row['table']})"


def section_table(run: Run) -> Table | None:
    """PCC over all genes of each test section, a column for each method that has any; None without such rows."""
    values = {(r.fold, r.section, r.source): r.value for r in run.section_records() if r.metric == "pcc_all"}
    places = list(dict.fromkeys((fold, section) for fold, section, _ in values))
    methods = [m for m in METHODS if any(values.get((*place, m)) is not None for place in places)]
    methods = [m for m in methods if m not in CONSTANTS]  # their PCC is 0
    if not places:
        return None
    rows = tuple(
        (str(section), fold, *(number(values.get((fold, section, method))) for method in methods))
        for fold, section in places
    )
    header = ("Section", "Held out with", *(METHODS[method] for method in methods))
    caption = "PCC over all genes, within each test section. Sections are never pooled."
    return Table(caption, header, rows, text_columns=2, title="Section by section", folded=True)


def unseen_table(run: Run) -> Table | None:
    """PCC of genes that were kept from training; None in a run without them."""
    sources = [s for s in run.sources if run.fold_values(s, "pcc_unseen")]
    if not sources:
        return None
    folds = run.meta.get("zero_shot") or {}
    about = folds if "n_unseen" in folds else next(iter(folds.values()), {})  # older runs: one for all folds
    titles = method_titles(run)
    rows = tuple((titles.get(s, s), spread(list(run.fold_values(s, "pcc_unseen").values()))) for s in sources)
    caption = (
        f"{about.get('n_unseen', 'Some')} genes of the panel were kept from training. {about.get('embeddings', '')}"
    )
    return Table(caption, ("Method", "PCC, unseen genes"), rows, title="Genes never trained on")


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


def _shown(run: Run) -> list[str]:
    present = set(run.results.metrics)
    return [metric for metric in GENE_METRICS if metric in present]


def _scores(run: Run, source: str, metrics: Sequence[str] | None = None) -> tuple[str, ...]:
    wanted = _shown(run) if metrics is None else metrics
    return tuple(spread(list(run.fold_values(source, metric).values())) for metric in wanted)


def _quoted_cell(row: Mapping[str, Any], metric: str) -> str:
    return mean_std({"mean": row["mean"][metric], "std": (row.get("std") or {}).get(metric)})


def _signed(delta: Mapping[str, Any] | None) -> str:
    if delta is None:
        return MISSING
    std = delta.get("std")
    return Number(f"{delta['mean']:+z.4f}" + ("" if std is None else f" ± {std:.4f}"), float(delta["mean"]))


def _span(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"
