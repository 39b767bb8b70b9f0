"""Tables over the explained slides of a source: one row a slide, and genes that mark deciding tiles again and again."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hage_transfer.explain.files import cell
from hage_transfer.explain.task import SlideTask, read_record
from hage_transfer.mil.deciding_slides import consistent_genes
from hage_transfer.running.atomic import write_csv
from hage_transfer.running.run_directory import GENES_FILE, SLIDES_FILE

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "predicted", "rank", "gene", "mean_rank_biserial", "sign_agreement", "low", "high", "p_value", "q_value",
    "mean_hedges_g", "mean_gene_attention_rank_biserial", "n_slides", "n_groups", "validation_pcc", "heldout_pcc",
    "reason",
)  # fmt: skip


def write_over_slides(folder: Path, done: Mapping[str, SlideTask], groups: Mapping[str, str]) -> list[dict[str, Any]]:
    """Writes ``slides.csv`` and, where slides have gene tables, ``genes.csv``; returns the latter's rows.

    Effects are taken over the slides of one predicted class: what the models looked at where they said so, right or
    wrong. Columns: mean over groups of the rank-biserial correlation of deciding tiles against the rest (and of the
    other effects, likewise), share of slides that agree in sign, 95% interval (t over groups), sign-flip p over groups
    and its Benjamini-Hochberg q over genes.
    """
    import pandas as pd

    records = {slide: read_record(task.record) for slide, task in done.items()}
    rows = [record["row"] for record in records.values() if record is not None]
    write_csv(folder / SLIDES_FILE, list(rows[0]), rows)
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    for row in rows:
        path = done[row["slide"]].out / GENES_FILE
        if path.is_file():
            table = pd.read_csv(path, dtype={"gene": str}, keep_default_na=False, na_values=[""])
            tables.setdefault(row["predicted"], {})[row["slide"]] = table.set_index("gene")
    if not tables:
        (folder / GENES_FILE).unlink(missing_ok=True)
        return []
    found = [row for predicted in sorted(tables) for row in _of_class(predicted, tables[predicted], groups)]
    write_csv(folder / GENES_FILE, COLUMNS, [{name: cell(value) for name, value in row.items()} for row in found])
    return found


def _of_class(predicted: str, tables: Mapping[str, "pd.DataFrame"], groups: Mapping[str, str]) -> list[dict[str, Any]]:
    first = next(iter(tables.values()))
    genes = list(first.index)
    aligned = [table.reindex(genes) for table in tables.values()]
    effects = np.stack([table["rank_biserial"].to_numpy(dtype=np.float64) for table in aligned])
    group = np.array([groups.get(slide, slide) for slide in tables])
    found = consistent_genes(effects, group.tolist())
    means = {
        name: _mean_over_groups(np.stack([table[name].to_numpy(dtype=np.float64) for table in aligned]), group)
        for name in ("hedges_g", "gene_attention_rank_biserial")
    }
    order = np.argsort(-np.abs(found.mean), kind="stable").tolist()
    return [
        {
            "predicted": predicted,
            "rank": rank,
            "gene": genes[gene],
            "mean_rank_biserial": found.mean[gene],
            "sign_agreement": found.agreement[gene],
            "low": found.low[gene],
            "high": found.high[gene],
            "p_value": found.p_value[gene],
            "q_value": found.q_value[gene],
            "mean_hedges_g": means["hedges_g"][gene],
            "mean_gene_attention_rank_biserial": means["gene_attention_rank_biserial"][gene],
            "n_slides": found.n_slides,
            "n_groups": found.n_groups,
            "validation_pcc": float(first["validation_pcc"].iloc[gene]),
            "heldout_pcc": float(first["heldout_pcc"].iloc[gene]),
            "reason": found.reason,
        }
        for rank, gene in enumerate(order, start=1)
    ]


def _mean_over_groups(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean over groups of their slides' means, as the effects beside it; NaN where a number is defined in no slide."""
    return _mean(np.stack([_mean(values[groups == group]) for group in np.unique(groups)]))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over rows in which a number is defined; NaN where in none."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(0)
    return np.divide(total, known.sum(0), out=np.full(values.shape[1], np.nan), where=known.any(0))
