"""Tables over the explained slides of a source: one row a slide, and genes that mark deciding tiles again and again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hage_transfer.compare.genes import mean_over_defined
from hage_transfer.explain.files import ranked, read_genes, write_table
from hage_transfer.explain.task import SlideTask, read_record
from hage_transfer.mil.deciding_slides import consistent_genes
from hage_transfer.running.atomic import write_csv
from hage_transfer.running.run_directory import GENES_FILE, SLIDES_FILE

COLUMNS = (
    "predicted", "rank", "gene", "mean_rank_biserial", "sign_agreement", "low", "high", "p_value", "q_value",
    "mean_hedges_g", "mean_gene_attention_rank_biserial", "n_slides", "n_groups", "validation_pcc", "heldout_pcc",
    "reason",
)  # fmt: skip


def write_over_slides(folder: Path, done: Mapping[str, SlideTask], groups: Mapping[str, str]) -> list[dict[str, Any]]:
    """Writes ``slides.csv`` and, where slides have gene tables, ``genes.csv``; returns the latter's rows.

    Effects are taken over the slides of one predicted class: what the models looked at where they said so, right or
    wrong; of other targets over all slides (``predicted`` is empty). Columns: mean over groups of the rank-biserial
    correlation of deciding tiles against the rest (and of the other effects, likewise), share of slides that agree in
    sign, 95% interval (t over groups), sign-flip p over groups and its Benjamini-Hochberg q over genes.
    """
    records = {slide: read_record(task.record) for slide, task in done.items()}
    rows = [record["row"] for record in records.values() if record is not None]
    write_csv(folder / SLIDES_FILE, list(rows[0]), rows)
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    for row in rows:
        path = done[row["slide"]].out / GENES_FILE
        if path.is_file():
            called = row["predicted"] if "probability" in row else ""
            tables.setdefault(called, {})[row["slide"]] = read_genes(path).set_index("gene")
    if not tables:
        (folder / GENES_FILE).unlink(missing_ok=True)
        return []
    found = pd.concat([_of_class(predicted, tables[predicted], groups) for predicted in sorted(tables)])
    write_table(folder / GENES_FILE, found)
    return [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]


def _of_class(predicted: str, tables: Mapping[str, pd.DataFrame], groups: Mapping[str, str]) -> pd.DataFrame:
    first = next(iter(tables.values()))
    group = np.array([groups.get(slide, slide) for slide in tables])

    def of(name: str) -> np.ndarray:
        return np.stack([table[name].reindex(first.index).to_numpy(dtype=np.float64) for table in tables.values()])

    found = consistent_genes(of("rank_biserial"), group.tolist())
    table = pd.DataFrame(
        {
            "predicted": predicted,
            "gene": first.index,
            "mean_rank_biserial": found.mean,
            "sign_agreement": found.agreement,
            "low": found.low,
            "high": found.high,
            "p_value": found.p_value,
            "q_value": found.q_value,
            "mean_hedges_g": _mean_over_groups(of("hedges_g"), group),
            "mean_gene_attention_rank_biserial": _mean_over_groups(of("gene_attention_rank_biserial"), group),
            "n_slides": found.n_slides,
            "n_groups": found.n_groups,
            "validation_pcc": first["validation_pcc"].to_numpy(),
            "heldout_pcc": first["heldout_pcc"].to_numpy(),
            "reason": found.reason,
        }
    )
    return ranked(table.iloc[np.argsort(-np.abs(found.mean), kind="stable")], COLUMNS)


def _mean_over_groups(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean over groups of their slides' means, as the effects beside it; NaN where a number is defined in no slide."""
    return mean_over_defined([mean_over_defined(values[groups == group]) for group in np.unique(groups)])
